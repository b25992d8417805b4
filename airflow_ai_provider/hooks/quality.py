"""The data gate behind Airflow's paths and connections."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.hooks._object_storage import fetch

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_ai_provider.adapters.sql_tables import SqlSource
    from airflow_ai_provider.core.gate import GateDraft, GateRecord
    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.services.quality import QualityResult
    from airflow_ai_provider.services.quality_criteria import Surroundings


class DataQualityHook(BaseHook):
    """Check data against an expectation suite, and keep the gate records.

    :param store_conn_id: the connection to the store, of type ``ai_store``.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "ai_store_default"

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id

    def source(
        self,
        conn_id: str,
        *,
        table: str | None = None,
        schema: str | None = None,
        query: str | None = None,
    ) -> SqlSource:
        """Return a table or a query behind the connection ``conn_id``, of any SQL database.

        :raises DataReadError: the connection names no database.
        """
        from airflow_ai_provider.services.quality import SqlSource

        connection = self.get_connection(conn_id)
        return SqlSource(url=database_url(connection), table=table, schema=schema, query=query)

    def check(
        self,
        data: Any,
        suite: Any,
        *,
        quarantine_path: str | None = None,
        good_rows_path: str | None = None,
        **arguments: Any,
    ) -> QualityResult:
        """Look at ``data`` through ``suite``; arguments as in ``services.quality.check``.

        ``data`` may be what ``source`` returns, or a frame. ``data`` and ``suite`` (or several
        suites, as a list) are else local paths or any address that Airflow's ``ObjectStoragePath``
        reads (its connection as in ``s3://conn_id@bucket/key``); a remote file is fetched into a
        temporary folder for the time of the look.

        :raises DataReadError: the data is absent, cut short or malformed.
        :raises SuiteError: the suite means nothing, or could not be evaluated.
        """
        from airflow_ai_provider.services.quality import check

        with self.fetched(data) as (near, version), self.local_suite(suite) as read_suite:
            return check(
                near,
                read_suite,
                version=version,
                shown_as=data if isinstance(data, str) else None,
                quarantine_path=self._writable(quarantine_path),
                good_rows_path=self._writable(good_rows_path),
                around=self._around(arguments),
                **arguments,
            )

    def compare(self, data: Any, reference: Any, **arguments: Any) -> DriftResult:
        """Compare ``data`` with ``reference``; arguments as in ``services.drift.compare``.

        Both are addresses, or tables, as in ``check``; the reference may be a profile.

        :raises DataReadError: one is absent, cut short or malformed.
        :raises DriftSettingsError: an argument means nothing, or names an unknown column.
        """
        from airflow_ai_provider.services.drift import compare

        with self.local(data) as data_path, self.local(reference) as reference_path:
            return compare(
                data_path,
                reference_path,
                shown_as=data if isinstance(data, str) else None,
                reference_shown_as=reference if isinstance(reference, str) else None,
                **arguments,
            )

    def _around(self, arguments: Mapping[str, Any]) -> Surroundings:
        """Return what our own expectations need: references elsewhere, earlier deliveries."""
        from airflow_ai_provider.services.quality_criteria import Surroundings
        from airflow_ai_provider.services.quality_history import earlier_rows

        dataset, partition = arguments.get("dataset"), arguments.get("partition")

        def history(last: int) -> list[int]:
            from airflow_ai_provider.hooks.store import AiStoreHook

            ledger = AiStoreHook(self.store_conn_id).ledger
            return earlier_rows(ledger, str(dataset), partition, last)

        return Surroundings(local=self.local, history=history if dataset else None)

    def record(self, draft: GateDraft, *, context: Any) -> GateRecord:
        """Write the gate record of this task instance's decision, once over its retries."""
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key

        ledger = AiStoreHook(self.store_conn_id).ledger
        return ledger.append(draft, key=decision_key(context, draft))

    @contextmanager
    def local(self, address: Any) -> Iterator[Any]:
        """Give the local path of what is at ``address``, fetching it when it is elsewhere.

        A table is given as it is.
        """
        with self.fetched(address) as (path, _):
            yield path

    @contextmanager
    def fetched(self, data: Any) -> Iterator[tuple[Any, str | None]]:
        """Give the local path of data at an address, and the version of what was fetched.

        A table or a frame is given as it is.
        """
        here = local_path(data) if isinstance(data, str) else data
        if here is not None:
            yield here, None
            return
        with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder:
            path, version = fetch(data, Path(folder))
            yield str(path), version

    @contextmanager
    def local_suite(self, suite: Any) -> Iterator[Any]:
        """Give the local path of a suite at an address, of each of several; others as they are."""
        with ExitStack() as stack:
            if isinstance(suite, (list, tuple)):
                yield [stack.enter_context(self.fetched(one))[0] for one in suite]
            else:
                yield stack.enter_context(self.fetched(suite))[0]

    def _writable(self, address: str | None) -> str | None:
        if not address:
            return None
        here = local_path(address)
        if here is None:
            raise DataReadError(
                f"Cannot write rows to {address}: only local paths can be written so far.",
                remedy="Give a local path, on storage that your workers share.",
                path=address,
            )
        return here


def database_url(connection: Connection) -> str:
    """Return the SQLAlchemy URL that a connection means, its password included: never log it.

    The hook of the connection's own provider knows, where it is installed.

    :raises DataReadError: it does not mean one.
    """
    from airflow_ai_provider.services.sql_address import sql_address

    kind = str(connection.conn_type or "")
    address = sql_address(
        kind=kind,
        host=connection.host,
        port=connection.port,
        database=connection.schema,
        user=connection.login,
        password=connection.password,
        extra=connection.extra_dejson,
    )
    return address if address is not None else _url_of_hook(connection)


def _url_of_hook(connection: Connection) -> str:
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
        url = getattr(hook, "sqlalchemy_url", None) or hook.get_uri()
    except (AttributeError, NotImplementedError, ImportError, AirflowException) as error:
        raise DataReadError(
            f"The connection {connection.conn_id!r} of type {connection.conn_type!r} names no "
            "database that SQLAlchemy knows.",
            remedy="Install its provider, or put the database's URL in its extra field 'url'.",
        ) from error
    return url if isinstance(url, str) else str(url.render_as_string(hide_password=False))


def local_path(address: str) -> str | None:
    """Return the local path that ``address`` means; None when it is elsewhere."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return unquote(parts.path)
    return None
