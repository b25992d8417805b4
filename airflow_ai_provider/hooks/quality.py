"""The data gate behind Airflow's paths and connections."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import BaseHook

from airflow_ai_provider.core.errors import AirflowAiError, DataReadError

if TYPE_CHECKING:
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

    def check(
        self,
        data: str,
        suite: str | Mapping[str, Any],
        *,
        quarantine_path: str | None = None,
        good_rows_path: str | None = None,
        **arguments: Any,
    ) -> QualityResult:
        """Look at ``data`` through ``suite``; arguments as in ``services.quality.check``.

        ``data`` and ``suite`` are local paths or any address that Airflow's ``ObjectStoragePath``
        reads (its connection as in ``s3://conn_id@bucket/key``); a remote file is fetched into a
        temporary folder for the time of the look.

        :raises DataReadError: the data is absent, cut short or malformed.
        :raises SuiteError: the suite means nothing, or could not be evaluated.
        """
        from airflow_ai_provider.services.quality import check

        with (
            self.local(data) as data_path,
            self.local_suite(suite) as read_suite,
        ):
            return check(
                data_path,
                read_suite,
                shown_as=data,
                quarantine_path=self._writable(quarantine_path),
                good_rows_path=self._writable(good_rows_path),
                around=self._around(arguments),
                **arguments,
            )

    def compare(self, data: str, reference: str, **arguments: Any) -> DriftResult:
        """Compare ``data`` with ``reference``; arguments as in ``services.drift.compare``.

        Both are addresses as in ``check``; the reference may be a profile.

        :raises DataReadError: one is absent, cut short or malformed.
        :raises DriftSettingsError: an argument means nothing, or names an unknown column.
        """
        from airflow_ai_provider.services.drift import compare

        with self.local(data) as data_path, self.local(reference) as reference_path:
            return compare(
                data_path,
                reference_path,
                shown_as=data,
                reference_shown_as=reference,
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
    def local(self, address: str) -> Iterator[str]:
        """Give the local path of what is at ``address``, fetching it when it is elsewhere."""
        here = local_path(address)
        if here is not None:
            yield here
            return
        with tempfile.TemporaryDirectory(prefix="airflow-ai-") as folder:
            yield str(self._fetch(address, Path(folder)))

    @contextmanager
    def local_suite(self, suite: str | Mapping[str, Any]) -> Iterator[str | Mapping[str, Any]]:
        """Give a suite that is a mapping as it is, else its local path."""
        if isinstance(suite, str):
            with self.local(suite) as path:
                yield path
        else:
            yield suite

    def _fetch(self, address: str, folder: Path) -> Path:
        from airflow.sdk import ObjectStoragePath

        try:
            source: Any = ObjectStoragePath(address)
            target: Path = folder / source.name
            with source.open("rb") as remote, target.open("wb") as near:
                while block := remote.read(1 << 20):
                    near.write(block)
            _keep_age(source, target)
        except AirflowAiError:
            raise
        except FileNotFoundError as error:
            raise DataReadError(
                f"Cannot read {address}: there is no such file.",
                remedy="Check the path, and whether it arrived.",
                path=address,
            ) from error
        except (ValueError, ImportError) as error:
            raise DataReadError(
                f"Cannot read {address}: {error}.",
                remedy="Install the provider of this kind of storage, or use a local path.",
                path=address,
            ) from error
        return target

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


_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "created")  # as storages say it


def _keep_age(source: Any, target: Path) -> None:
    """Give the copy the age of what was copied; 1970 where the storage does not tell.

    A copy is always new, and what is expected to be recent must not pass for that.
    """
    status = source.stat()
    told = next((status[name] for name in _WRITTEN if status.get(name)), 0)
    if isinstance(told, str):
        told = datetime.fromisoformat(told.replace("Z", "+00:00"))
    written = told.timestamp() if isinstance(told, datetime) else float(told)
    os.utime(target, (written, written))


def local_path(address: str) -> str | None:
    """Return the local path that ``address`` means; None when it is elsewhere."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return unquote(parts.path)
    return None
