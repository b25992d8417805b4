"""Record a trained scikit-learn model in MLflow, with what it cost.

    log_candidate(model, inputs, ...) -> Logged(run_id, model_uri)
    log_results(run_id, ...)                      the figures and files of a judgement, later
    load_model(model_uri, tracking_uri) -> the scikit-learn model
    latency_ms(predict, inputs) -> float          95th percentile for 1,000 rows
    size_bytes(model) -> int                      what it takes on disk
    require_server(tracking_uri)                  a typed error when MLflow does not answer
    lease() -> "<id>:<fence>" of the GPU lease that this process runs under, or None
    code_digest(module) -> SHA-256 of the source files beside a module
    one_thread()                                      context: no numeric library takes more

``import mlflow`` costs seconds of CPU, so it happens inside the functions.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.core.errors import RegistryUnavailableError

if TYPE_CHECKING:
    from pandas import DataFrame

LEASE_VARIABLE = "AIRFLOW_AI_GPU_LEASE"


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Where MLflow keeps a model."""

    run_id: str
    model_uri: str


def require_server(tracking_uri: str, patience: float = 10.0) -> None:
    """Raise a :class:`RegistryUnavailableError` when no MLflow server answers there.

    Ask before an hour of training, not after: MLflow's own client tries for minutes. A URI that
    names no server (``sqlite:///...``) is not asked.
    """
    if not tracking_uri.startswith(("http://", "https://")):
        return
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(f"{tracking_uri.rstrip('/')}/health", timeout=patience).close()  # noqa: S310
    except HTTPError:
        return  # it answers; what it says to our requests is MLflow's to tell
    except OSError as error:
        raise RegistryUnavailableError(
            f"MLflow does not answer at {tracking_uri}: {error}.",
            remedy="Start the MLflow server, or correct the address, and run the task again.",
            tracking_uri=tracking_uri,
        ) from error


def lease() -> str | None:
    return os.environ.get(LEASE_VARIABLE)


def code_digest(module: str) -> str:
    total = hashlib.sha256()
    for path in sorted(Path(module).parent.glob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


@contextmanager
def one_thread() -> Iterator[None]:
    """Trainings run side by side: each keeps to the one core that its slot stands for."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def latency_ms(predict: Callable[[DataFrame], Any], inputs: DataFrame, rows: int = 1000) -> float:
    """The 95th percentile, in milliseconds, of predicting a batch of ``rows`` on an idle core.

    It is the thread's CPU time: on a machine shared with other trainings, the wall clock would
    measure the neighbours. Run it within :func:`one_thread`.
    """
    import numpy

    batch = inputs.sample(rows, replace=True, random_state=0)
    took = []
    for _ in range(43):
        start = time.thread_time()
        predict(batch)
        took.append(time.thread_time() - start)
    return round(float(numpy.quantile(took[3:], 0.95)) * 1000, 2)  # the first ones warm up


def log_candidate(
    model: Any,
    inputs: DataFrame,
    *,
    tracking_uri: str,
    experiment: str,
    run_name: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    predict: str = "predict_proba",
) -> Logged:
    """Record ``model`` in a new run of ``experiment``.

    ``inputs`` and ``predict``, the method that a server of the model calls, give its signature.
    """
    import mlflow
    import mlflow.sklearn
    from mlflow.models import infer_signature

    require_server(tracking_uri)
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment(experiment)
    example = inputs.head(100)
    with mlflow.start_run(run_name=run_name, tags={**tags, "gpu_lease": lease() or "none"}) as run:
        mlflow.log_params(dict(params))
        mlflow.log_metrics(dict(metrics))
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(example, getattr(model, predict)(example)),
            pyfunc_predict_fn=predict,
            pip_requirements=_requirements(),
            skops_trusted_types=_types(model),
        )
    return Logged(run_id=run.info.run_id, model_uri=info.model_uri)


def log_results(
    run_id: str, *, tracking_uri: str, metrics: Mapping[str, float], files: Sequence[str | Path]
) -> None:
    """Add to a run what a judgement found: its figures, and the files that it rests on."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri)
    for name, value in metrics.items():
        client.log_metric(run_id, name, value)
    for path in files:
        client.log_artifact(run_id, str(path), "evaluation")


def load_model(model_uri: str, tracking_uri: str) -> Any:
    """The model behind ``models:/NAME/VERSION``, ``models:/m-...`` or ``runs:/RUN/model``."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # it fills task logs
    require_server(tracking_uri)
    import mlflow
    import mlflow.sklearn

    mlflow.set_tracking_uri(tracking_uri)
    return mlflow.sklearn.load_model(model_uri)


def size_bytes(model: Any) -> int:
    """What the model takes on disk in the format that :func:`log_candidate` stores."""
    import skops.io

    return len(skops.io.dumps(model))


def _types(model: Any) -> list[str]:
    """The types that MLflow may load again: those of the model that was trained here.

    MLflow stores scikit-learn models with skops, which builds only types that somebody named.
    """
    import skops.io

    return skops.io.get_untrusted_types(data=skops.io.dumps(model))


def _requirements() -> list[str]:
    """The versions here: letting MLflow find them out takes most of a minute."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("scikit-learn", "skops", "pandas", "numpy")]
