"""What differs between the versions of Airflow that this provider runs on, in one place.

``make compat`` runs the package on the oldest of them; what else it uses of Airflow is the same in
all.
"""

from __future__ import annotations

from typing import Any


def stats() -> Any:
    """Return what takes ``gauge``, ``incr`` and ``timing``: a module since 3.3, a class before."""
    from airflow.sdk.observability import stats as found

    return found if hasattr(found, "gauge") else found.Stats
