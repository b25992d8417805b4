"""The data gate behind Airflow's paths and connections."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.hooks._object_storage import Fetched, fetch, send

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_ai_provider.adapters.sql_tables import SqlSource
    from airflow_ai_provider.core.gate import GateDraft, GateRecord
    from airflow_ai_provider.core.quality.drift.report import DriftResult
    from airflow_ai_provider.core.quality.page.values import ReportPage
    from airflow_ai_provider.core.quality.requirement import Standing
    from airflow_ai_provider.core.quality.result import Quarantine
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
        temporary folder for the time of the look. ``quarantine_path`` and ``good_rows_path`` may be
        such addresses too: a file there is whole or is not.

        :raises DataReadError: the data is absent, cut short or malformed.
        :raises StorageLostError: an object store dropped a transfer; trying again may help.
        :raises SuiteError: the suite means nothing, or could not be evaluated.
        """
        from airflow_ai_provider.services.quality import check

        with (
            self.fetched(data) as near,
            self.local_suite(suite) as read_suite,
            Kept(quarantine_path, good_rows_path) as kept,
        ):
            result = check(
                near.path,
                read_suite,
                version=near.version,
                versions=near.versions,
                shown_as=data if isinstance(data, str) and local_path(data) is None else None,
                quarantine_path=kept.near(quarantine_path),
                good_rows_path=kept.near(good_rows_path),
                around=self._around(arguments),
                **arguments,
            )
            return replace(
                result,
                quarantine=kept.sent(result.quarantine, quarantine_path),
                good_rows=kept.sent(result.good_rows, good_rows_path),
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

    def standing(self, **arguments: Any) -> Standing:
        """Say whether the newest gate record of a data set is good enough, and why not.

        Arguments as in ``core.quality.requirement.Requirement.of``: ``dataset``, ``partition``,
        ``verdict``, ``max_age`` (seconds), ``min_score``, ``gates``.

        :raises QualityError: an argument means nothing.
        """
        from airflow_ai_provider.core.quality.requirement import Requirement
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.quality_required import standing

        return standing(AiStoreHook(self.store_conn_id).ledger, Requirement.of(**arguments))

    def require(self, **arguments: Any) -> Standing:
        """Return the standing of a data set that is good enough; a guard for code of your own.

        :raises DataQualityRequiredError: it is not; ``facts["reason"]`` is ``no_record``,
            ``refused``, ``too_old`` or ``low_score``.
        """
        from airflow_ai_provider.services.quality_required import refusal

        found = self.standing(**arguments)
        if not found:
            raise refusal(found)
        return found

    def record(
        self, draft: GateDraft, *, context: Any, page: ReportPage | None = None
    ) -> GateRecord:
        """Write the gate record of this task instance's decision, once over its retries.

        ``page`` is kept beside it, for the page behind the task's link; without one that page shows
        the record.
        """
        from airflow_ai_provider.core.quality.page.values import as_kept
        from airflow_ai_provider.hooks.store import AiStoreHook, decision_key
        from airflow_ai_provider.store.gate_reports import GateReports

        hook, key = AiStoreHook(self.store_conn_id), decision_key(context, draft)
        if page is None:
            return hook.ledger.append(draft, key=key)
        return GateReports(hook.get_conn()).append(draft, as_kept(page), key=key)

    @contextmanager
    def local(self, address: Any) -> Iterator[Any]:
        """Give the local path of what is at ``address``, fetching it when it is elsewhere.

        A table is given as it is.
        """
        with self.fetched(address) as near:
            yield near.path

    @contextmanager
    def fetched(self, data: Any) -> Iterator[Fetched]:
        """Give the local path of data at an address, and the versions of what was fetched.

        A table or a frame is given as it is.
        """
        here = local_path(data) if isinstance(data, str) else data
        if here is not None:
            yield Fetched(path=here)
            return
        with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder:
            found = fetch(data, Path(folder))
            yield replace(found, path=str(found.path))

    @contextmanager
    def local_suite(self, suite: Any) -> Iterator[Any]:
        """Give the local path of a suite at an address, of each of several; others as they are."""
        with ExitStack() as stack:
            if isinstance(suite, (list, tuple)):
                yield [stack.enter_context(self.fetched(one)).path for one in suite]
            else:
                yield stack.enter_context(self.fetched(suite)).path


class Kept:
    """Rows kept apart: written near, and sent to their addresses when all are written."""

    def __init__(self, *addresses: str | None) -> None:
        self._elsewhere = [a for a in addresses if a and local_path(a) is None]
        self._folder = tempfile.TemporaryDirectory(prefix="airflow-ai-")

    def __enter__(self) -> Kept:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was written near."""
        self._folder.cleanup()

    def near(self, address: str | None) -> str | None:
        """Return where to write what belongs at ``address``."""
        if not address or address not in self._elsewhere:
            return local_path(address) if address else None
        return f"{self._folder.name}/{self._elsewhere.index(address)}.parquet"

    def sent(self, written: Quarantine | None, address: str | None) -> Quarantine | None:
        """Send what was written to its address; return where it is now."""
        if written is None or address not in self._elsewhere:
            return written
        send(Path(written.path), str(address))
        return replace(written, path=str(address))


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
