"""The store behind an Airflow connection."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_ai_provider.core.errors import AirflowAiError, LedgerError
from airflow_ai_provider.core.gate import GateDraft, Origin, digest

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_ai_provider.services.store import StoreAddress
    from airflow_ai_provider.store.engine import Store
    from airflow_ai_provider.store.ledger import Ledger


class AiStoreHook(BaseHook):
    """Open the store that a connection names.

    Host, port, database, user and password mean PostgreSQL; the extra field ``url`` is a whole
    database URL, and ``delta_options`` (an object such as ``{"AWS_REGION": "eu-west-1"}``) what the
    storage of Delta tables with feedback wants to know, beside the environment: secrets belong
    there. With no connection ``ai_store_default`` the store is ``$AIRFLOW_HOME/airflow_ai.db``.

    :param store_conn_id: the connection, of type ``ai_store``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "ai_store_default"
    conn_type = "ai_store"
    hook_name = "AI store"

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id
        self._store: Store | None = None

    def get_url(self) -> str:
        """Return the database URL, password included: never log it.

        :raises AirflowNotFoundException: there is no such connection and it is not the default one.
        """
        return self.get_address().url

    def get_address(self) -> StoreAddress:
        """Return the database URL with what else the connection says, secrets included.

        :raises AirflowNotFoundException: there is no such connection and it is not the default one.
        """
        try:
            connection = self.get_connection(self.store_conn_id)
        except AirflowNotFoundException:
            connection = None
        return self._address_of(connection)

    async def aget_url(self) -> str:
        """Do as ``get_url`` inside a trigger, where the event loop must not wait."""
        try:
            connection = await self.aget_connection(self.store_conn_id)
        except AirflowNotFoundException:
            connection = None
        return self._address_of(connection).url

    def _address_of(self, connection: Connection | None) -> StoreAddress:
        from airflow_ai_provider.services.store import (
            StoreAddress,
            address_of_fields,
            default_url,
        )

        if connection is None:
            if self.store_conn_id != self.default_conn_name:
                raise AirflowNotFoundException(f"There is no connection {self.store_conn_id!r}.")
            return StoreAddress(url=default_url())
        return address_of_fields(
            host=connection.host,
            port=connection.port,
            database=connection.schema,
            user=connection.login,
            password=connection.password,
            extra=connection.extra_dejson,
        )

    def get_conn(self) -> Store:
        """Return the open store, and let this process's own code use it too."""
        from airflow_ai_provider.services.store import hand_to_process, open_store

        if self._store is None:
            address = self.get_address()
            self._store = open_store(address)
            hand_to_process(address.url)
        return self._store

    @property
    def ledger(self) -> Ledger:
        """The ledger of gate records in this store."""
        from airflow_ai_provider.store.ledger import Ledger

        return Ledger(self.get_conn())

    def verify_ledger(self) -> int:
        """Return how many gate records there are.

        :raises LedgerError: the chain of records does not hold.
        """
        records, broken = self.ledger.verify()
        if broken:
            raise LedgerError(
                f"The ledger breaks at #{broken.sequence} ({broken.record}): {broken.reason}.",
                remedy="Compare it with a backup; nothing after this record can be trusted.",
                record=broken.record,
            )
        return records

    def test_connection(self) -> tuple[bool, str]:
        """Answer Airflow's *Test* button."""
        try:
            store = self.get_conn()
            records, broken = self.ledger.verify()
        except AirflowAiError as error:
            return False, str(error)
        if broken:
            return False, f"The ledger breaks at record {broken.record}: {broken.reason}."
        return True, f"{store.safe_url} answers; {records} gate records, chain whole."


def origin_of(context: Any) -> Origin:
    """Return the task instance of an Airflow ``context`` as a gate record keeps it."""
    ti = context["ti"]
    return Origin(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=getattr(ti, "map_index", -1),
        try_number=ti.try_number,
    )


def decision_key(context: Any, draft: GateDraft) -> str:
    """Return the key under which this task instance writes ``draft`` once.

    A retry that decides the same leaves the one record; a cleared task that decides otherwise, on
    repaired data say, leaves its own.
    """
    ti = context["ti"]
    place = [ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1)]
    content = asdict(replace(draft, origin=Origin()))
    return f"task:{digest([place, content])}"
