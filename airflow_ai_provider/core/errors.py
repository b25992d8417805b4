"""Every error of the package, under one root; a capability's stand together, under one of its own.

A docstring names the facts that an error carries for programs.
"""

from __future__ import annotations

from typing import Any

_MOST_SAID = 500


def in_one_line(error: object) -> str:
    """Return what a library said, for a sentence of ours: one line, no mark at its end, not long.

    A server's driver breaks its lines and repeats itself for every address that it tried.
    """
    said = " ".join(str(error).split()).rstrip(".?! ")
    return said if len(said) <= _MOST_SAID else said[: _MOST_SAID - 3] + "..."


class AirflowAiError(Exception):
    """Something this package refuses or cannot do.

    ``message`` says what and where, ``remedy`` what to do next; any further keyword is a fact that
    a program may want (``error.facts["lease_id"]``).
    """

    def __init__(self, message: str, *, remedy: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.facts = facts

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.remedy, self.facts))


def _rebuild(
    kind: type[AirflowAiError], message: str, remedy: str | None, facts: dict[str, Any]
) -> AirflowAiError:
    return kind(message, remedy=remedy, **facts)


class SettingsError(AirflowAiError):
    """A setting of ``[ai_provider]`` has a value that means nothing."""


class StoreError(AirflowAiError):
    """The store cannot do what was asked."""


class StoreNotFoundError(StoreError):
    """There is no store at this address."""


class StoreNotMigratedError(StoreError):
    """The store's tables are not those of this version."""


class StoreUnavailableError(StoreError):
    """The store does not answer."""


class LedgerError(AirflowAiError):
    """The ledger of gate records refuses or does not hold together."""


class GateRefusedError(AirflowAiError):
    """A gate said no; ``facts["record"]`` is the id of the gate record."""


class DataQualityGateError(GateRefusedError):
    """The data failed its expectations; ``facts["failed"]`` lists them."""


class DataQualityRequiredError(GateRefusedError):
    """The newest gate record of a data set is not good enough; ``facts["reason"]`` names why."""


class DriftGateError(GateRefusedError):
    """The data drifted from its reference; ``facts["failed"]`` lists the measures."""


class ModelGateError(GateRefusedError):
    """The candidate failed its criteria; ``facts["failed"]`` lists them."""


class PhaseGateError(GateRefusedError):
    """The project failed its exit criteria; ``facts["failed"]`` lists them."""


class GpuError(AirflowAiError):
    """The GPU-slot pool cannot do what was asked."""


class GpuRequestError(GpuError):
    """The request can never be met."""


class GpuWaitTimeoutError(GpuError):
    """The request waited longer than it may; ``facts["reason"]`` names what it waited for."""


class LeaseLostError(GpuError):
    """The lease is no longer ours: its fence is older than the device's."""


class GpuAdminError(GpuError):
    """What a person asked of a device, a lease or a host is not to be done; says why."""


class GpuDriverError(GpuError):
    """The driver tells nothing of this host; ``facts["trouble"]`` is a ``Trouble``."""


class QuotaError(GpuError):
    """A quota means nothing, or is not there."""


class HolderBusyError(GpuRequestError):
    """Another process has the lease of this holder; when it has ended, ask again."""


class CudaInitialisedError(GpuError):
    """CUDA is initialised in this process already: it would not see the devices of a lease."""


class FunctionNotPortableError(GpuError):
    """A function cannot be sent to a pod: something of it would not be there."""


class ClusterError(GpuError):
    """A Kubernetes cluster does not do what was asked."""


class ClusterUnavailableError(ClusterError):
    """The API server does not answer; trying again may help."""


class ClusterForbiddenError(ClusterError):
    """The token lacks a permission; ``facts`` has ``verb``, ``resource`` and ``namespace``."""


class ClusterGoneError(ClusterError):
    """What was asked about is not there, or its resource version is forgotten."""


class ClusterQuotaError(ClusterError):
    """A ResourceQuota of the namespace leaves no room now."""


class PodEndedError(ClusterError):
    """A pod did not do its work; ``facts["kind"]`` is an ``EndKind``, ``exit_code`` may be None."""


class AirflowApiError(GpuError):
    """Airflow's REST API did not do what was asked; ``facts["url"]`` says where."""


class AirflowApiUnavailableError(AirflowApiError):
    """Airflow's REST API does not answer, or not as an Airflow would."""


class AirflowApiRefusedError(AirflowApiError):
    """Airflow's REST API does not let us: ``facts["status"]`` is 401 or 403."""


class QualityError(AirflowAiError):
    """The data gate could not look."""


class SuiteError(QualityError):
    """The expectation suite cannot be read or means nothing."""


class DriftSettingsError(QualityError):
    """The columns, methods or thresholds of a drift comparison mean nothing."""


class DataReadError(QualityError):
    """The data cannot be read."""


class DatabaseLostError(DataReadError):
    """The database cannot be reached, or dropped the connection half way; trying again may help."""


class StorageLostError(DataReadError):
    """An object store cannot be reached, or dropped a transfer; trying again may help."""


class PromotionError(AirflowAiError):
    """A model cannot be promoted."""


class CriteriaError(PromotionError):
    """The criteria of a model gate cannot be read or contradict each other."""


class EvidenceError(PromotionError):
    """The evidence is missing, of another shape, or changed since it was judged."""


class ApprovalError(PromotionError):
    """There is no valid approval for what is to be promoted."""


class PromotionConflictError(PromotionError):
    """Somebody else moved the model; ``facts["winner"]`` names who."""


class ModelCopyError(PromotionError):
    """A model version cannot be copied to another server, or did not arrive whole."""


class SmokeCheckError(PromotionError):
    """The endpoint does not serve the promoted version well; says whether it was taken back."""


class RegistryError(PromotionError):
    """The model registry refuses."""


class RegistryDeniedError(RegistryError):
    """The registry does not let this user in, or not do this.

    ``facts["status"]`` is 401 or 403; ``facts["permission"]`` is what the user lacks, where it is
    known.
    """


class RegistryNotFoundError(RegistryError):
    """The registry has no such model, version or run."""


class RegistryUnavailableError(RegistryError):
    """The model registry does not answer."""


class FeedbackError(AirflowAiError):
    """Feedback cannot be taken in or judged."""


class FeedbackRecordError(FeedbackError):
    """A record does not fit the contract."""


class FeedbackSourceError(FeedbackError):
    """A source of feedback cannot be read."""


class FeedbackSourceLostError(FeedbackSourceError):
    """A source went away or changed while it was read: trying again may help."""


class ExceptionReviewError(FeedbackError):
    """A prediction under review is not to be claimed, answered or given back; says why."""


class FeedbackSinkError(FeedbackError):
    """What is to hold feedback or predictions cannot take them, or cannot be read."""


class RetrainPolicyError(FeedbackError):
    """The retrain policy, or what it is asked about, means nothing."""


class SearchError(AirflowAiError):
    """A hyperparameter search cannot begin, go on, or say what is best."""


class LifecycleError(AirflowAiError):
    """The project's life cannot go on."""


class ProjectFileError(LifecycleError):
    """The project file is wrong; ``facts["errors"]`` lists line, field, message and remedy."""


class ProjectRefinementError(LifecycleError):
    """A plan forgets what the one before it had; ``facts["forgotten"]`` lists it."""


class ProjectTemplateError(LifecycleError):
    """A project cannot be begun from a template."""


class MilestoneIncompleteError(LifecycleError):
    """A milestone lacks deliverables; ``facts["missing"]`` lists them."""


class ProjectReportError(LifecycleError):
    """The report of a project cannot be written."""


class TaskDurationsError(LifecycleError):
    """The file of task durations cannot be read or written."""


class DemoError(AirflowAiError):
    """The demo cannot start, or its life went wrong; says what, where and what to do next."""
