"""The store that the plugin's routes read: opened, or the reason and the remedy as HTTP 503."""

from __future__ import annotations

import time

from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.services.store import StoreAddress, open_store
from airflow_ai_provider.store.engine import Store

LOOK_AGAIN = 30.0  # seconds after which the store's tables are looked at anew


class OpenStore:
    """The store that was opened last, kept from request to request with its connections.

    Opening looks at the tables' version, which costs more than most pages. Two threads that find
    none both open one, and one of the two is kept.
    """

    def __init__(self) -> None:
        self._kept: tuple[StoreAddress, int | None, float, Store] | None = None

    def at(self, address: StoreAddress) -> Store:
        """Return the store at ``address``.

        :raises AirflowAiError: it cannot be opened.
        """
        now = time.monotonic()
        if self._kept is not None:
            known, file, until, store = self._kept
            if known == address and now < until and _file_of(store) == file:
                return store
        self._kept = None
        store = open_store(address, create=False)
        self._kept = (address, _file_of(store), now + LOOK_AGAIN, store)
        return store


def the_store() -> Store:
    """Return the store that the connection names.

    :raises AirflowAiError: it cannot be opened; the application answers 503 with reason and remedy
        (``ui.frame.unavailable``), as it does when the store fails later.
    """
    return _open.at(AiStoreHook().get_address())


def _file_of(store: Store) -> int | None:
    """Return which file it is: one that was put in its place is another store."""
    if store.path is None:
        return None
    try:
        return store.path.stat().st_ino
    except OSError:
        return None


_open = OpenStore()
