"""Devices, requests, the planner and the states of a lease."""

from __future__ import annotations
