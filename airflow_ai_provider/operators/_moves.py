"""What every operator that moves an alias does alike: run the move, emit its asset, map errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.assets import model_asset
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    RegistryUnavailableError,
    StoreUnavailableError,
)
from airflow_ai_provider.links.promotion import ModelVersionLink

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from airflow_ai_provider.core.gate import Origin
    from airflow_ai_provider.services.promotion import Moved

STORE = "ai_store_default"
REGISTRY = "mlflow_default"
LEDGER = "ledger"


class MoveOperator(BaseOperator):
    """Move the alias of one environment of one model; the base of promotion and way back."""

    operator_extra_links = (ModelVersionLink(),)

    def __init__(
        self,
        *,
        model_name: str,
        environment: str,
        expected: str | int | None = LEDGER,
        override: Mapping[str, str] | None = None,
        approval: str | None = None,
        evidence_hash: str | None = None,
        project: str | None = None,
        store_conn_id: str = STORE,
        mlflow_conn_id: str = REGISTRY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.environment = environment
        self.expected = expected
        self.override = override
        self.approval = approval
        self.evidence_hash = evidence_hash
        self.project = project
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        if all(isinstance(part, str) and "{{" not in part for part in (model_name, environment)):
            self.add_outlet(model_asset(model_name, environment))

    def move(
        self,
        context: Context,
        order: Any,
        do: Callable[..., Moved],
        *,
        decided_by: str | None = None,
    ) -> Moved:
        """Do the move that ``order`` says, once for this task of this run.

        What another try may mend is raised as it is; the rest fails the task for good.
        """
        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.hooks.store import AiStoreHook, origin_of
        from airflow_ai_provider.store.promotion import Promotions

        origin = origin_of(context)
        place = place_of(origin)
        with for_good():
            return do(
                order,
                promotions=Promotions(AiStoreHook(self.store_conn_id).get_conn()),
                registry=ModelRegistryHook(self.mlflow_conn_id).get_conn(),
                key=order.key(place),
                moved_by=place,
                decided_by=decided_by or type(self).__name__,
                origin=origin,
            )

    def emit(self, context: Context, model_name: str, environment: str, moved: Moved) -> Any:
        """Return the task's result, with the asset event and the link that go with it."""
        result: dict[str, Any] = {
            "model_name": model_name,
            "version": moved.version,
            "environment": environment,
            "previous": moved.previous,
            "record": moved.record.id,
        }
        asset = model_asset(model_name, environment)
        self.add_outlet(asset)
        context["outlet_events"][asset].extra = result
        ModelVersionLink.persist(context, self.mlflow_conn_id, model_name, moved.version)
        return result

    def add_outlet(self, asset: Asset) -> None:
        """Emit ``asset`` when the task has succeeded."""
        if asset not in self.outlets:
            self.outlets = [*self.outlets, asset]


@contextmanager
def for_good() -> Iterator[None]:
    """Fail the task for good, unless what is raised is mended by another try of Airflow's."""
    try:
        yield
    except (RegistryUnavailableError, StoreUnavailableError):
        raise
    except AirflowAiError as error:
        if error.facts.get("in_progress"):
            raise
        raise AirflowFailException(str(error)) from error


def place_of(origin: Origin) -> str:
    """Return the task as the ledger names who moved: the same for every try."""
    mapped = f"[{origin.map_index}]" if (origin.map_index or -1) >= 0 else ""
    return f"{origin.dag_id}/{origin.run_id}/{origin.task_id}{mapped}"
