"""Will a flight arrive late? The data, the features and the training code of the pilot."""

from __future__ import annotations
