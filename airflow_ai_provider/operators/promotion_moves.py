"""Operators that move a version: forwards into an environment, and back.

They are imported from ``operators.promotion`` too.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_ai_provider.operators._moves import MoveOperator, for_good

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ai_provider.services.promotion import Moved


class ModelPromoteOperator(MoveOperator):
    """Move a model version into an environment along ``dev -> test -> staging -> production``.

    No step is skipped; from staging on, the passing decision of a model gate is needed. The alias
    must still name what is expected, is moved, read back and put on record; a retry finds the move
    done. Emits ``model_asset(model_name, environment)``.

    Returns ``{"model_name", "version", "environment", "previous", "record"}``.

    :param model_name: the registered model.
    :param version: its version.
    :param environment: where it goes.
    :param decision: id of the model gate's record.
    :param approval: id of the approval's record; it must rest on the same evidence.
    :param evidence_hash: the evidence that decision and approval must rest on.
    :param expected: the version that the environment must hold now: ``ledger`` for what the ledger
        said when the decision was written (on the last environment what the decision compared
        with), a version, or None.
    :param override: ``{"by", "reason"}``: lets a step or a decision be missing, on record.
    :param smoke_check: what the serving endpoint must answer after the move, as
        ``core.promotion.smoke.SmokeCheck``: ``{"url", "inputs"}``, and ``count``, ``min``, ``max``,
        ``version_field``, ``timeout``, ``patience``. A move that fails it is taken back, on record.
    :param smoke_conn_id: an ``http`` connection whose login and password, or token in the extra
        ``token``, let the smoke check in.
    :param project: the project that the record names.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "version",
        "environment",
        "decision",
        "approval",
        "evidence_hash",
        "expected",
        "override",
        "smoke_check",
        "smoke_conn_id",
        "project",
        "store_conn_id",
        "mlflow_conn_id",
    )
    template_fields_renderers = {"smoke_check": "json"}
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        version: str | int,
        decision: str | None = None,
        smoke_check: Mapping[str, Any] | None = None,
        smoke_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.decision = decision
        self.smoke_check = smoke_check
        self.smoke_conn_id = smoke_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, move, read back, record."""
        from airflow_ai_provider.services.promotion import promote, read_order

        names = ("model_name", "version", "environment", "decision", "approval", "evidence_hash")
        said = {name: getattr(self, name) for name in (*names, "expected", "override", "project")}
        order = read_order(**said)
        moved = self.move(context, order, self._checked() if self.smoke_check else promote)
        done: dict[str, Any] = self.emit(context, order.model_name, order.environment, moved)
        return done

    def _checked(self) -> Callable[..., Moved]:
        from airflow_ai_provider.core.promotion.smoke import read_smoke
        from airflow_ai_provider.services.promotion import promote_checked

        with for_good():
            check = read_smoke({**(self.smoke_check or {}), "headers": self._let_in()})
        return lambda order, **how: promote_checked(order, check, **how)

    def _let_in(self) -> dict[str, str]:
        """Return the headers that let the smoke check in; no secret stands in a template field."""
        if not self.smoke_conn_id:
            return {}
        connection = BaseHook.get_connection(self.smoke_conn_id)
        token = connection.extra_dejson.get("token")
        for secret in (connection.password, token):
            if secret:
                mask_secret(secret)
        if token:
            return {"Authorization": f"Bearer {token}"}
        pair = f"{connection.login or ''}:{connection.password or ''}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


class ModelRollbackOperator(MoveOperator):
    """Take an environment back to a version that it held before, in one task.

    Where to is taken from the ledger. A version that is deleted is refused; one that is not ready,
    was never there or was rolled back for cause needs an override. No approval is needed, and the
    way back is always on record. The way back from a version that was deleted is open too. Emits
    ``model_asset(model_name, environment)``; a retry finds the move done.

    Returns ``{"model_name", "version", "environment", "previous", "record"}``.

    :param model_name: the registered model.
    :param environment: where to go back.
    :param target: ``previous``, ``newest_good`` (the newest that was there, is ready and was not
        rolled back for cause), or a version.
    :param reason: why, for the record.
    :param for_cause: the version that leaves counts as bad: no way back leads to it again, and it
        is promoted again only on a new decision.
    :param expected: the version that the environment must hold now: ``ledger`` for what the ledger
        says, a version (to take over what was moved by hand), or None.
    :param override: ``{"by", "reason"}``: takes the target in spite of what stands against it.
    :param approval: id of an approval's record that must hold for ``evidence_hash``.
    :param evidence_hash: the evidence that the approval must rest on.
    :param project: the project that the record names.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "environment",
        "target",
        "reason",
        "for_cause",
        "expected",
        "override",
        "approval",
        "evidence_hash",
        "project",
        "store_conn_id",
        "mlflow_conn_id",
    )
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        target: str | int = "previous",
        reason: str | None = None,
        for_cause: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.reason = reason
        self.for_cause = for_cause

    def execute(self, context: Context) -> dict[str, Any]:
        """Find the target, move back, record."""
        from airflow_ai_provider.services.promotion import read_rollback, roll_back

        names = ("model_name", "environment", "target", "reason", "for_cause", "expected")
        more = ("override", "approval", "evidence_hash", "project")
        order = read_rollback(**{name: getattr(self, name) for name in (*names, *more)})
        who = getattr(context.get("dag_run"), "triggering_user_name", None)
        moved = self.move(context, order, roll_back, decided_by=who)
        done: dict[str, Any] = self.emit(context, order.model_name, order.environment, moved)
        return done
