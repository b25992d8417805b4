"""The sponsor's report about a project: a page, its Gantt chart, and Markdown."""

from __future__ import annotations
