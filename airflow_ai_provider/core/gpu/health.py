"""What makes a device unfit: the rules by which its symptoms and events are judged."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.gpu.devices import Health

# Programs cause these, on a card that is sound. The list is that of NVIDIA's device plugin for
# Kubernetes (internal/rm/health.go), the numbers are explained in NVIDIA's "XID Errors".
APPLICATION_XIDS = frozenset({13, 31, 43, 45, 68, 109})

_XIDS = {
    48: "an uncorrectable ECC error",
    63: "memory was retired or remapped",
    64: "memory could not be retired or remapped",
    74: "an NVLink error",
    79: "the card has fallen off the bus",
    92: "many corrected ECC errors",
    94: "a contained ECC error",
    95: "an uncontained ECC error",
    119: "the card's system processor does not answer",
    120: "an error of the card's system processor",
}


@dataclass(frozen=True, kw_only=True)
class Symptoms:
    """What a driver tells of a card; None where it cannot."""

    uncorrected_errors: int | None = None  # since the driver was loaded
    remapping_pending: bool | None = None
    remapping_failed: bool | None = None
    compute_mode: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that a device reported and that a person must look at.

    It is about the card or the instance ``uuid``, and about every card of the host where the driver
    does not say of which it speaks.
    """

    uuid: str | None
    reason: str


def judge(symptoms: Symptoms) -> tuple[Health, str]:
    """Return whether a card with ``symptoms`` may be granted, and why not."""
    reason = ""
    if symptoms.uncorrected_errors:
        count = symptoms.uncorrected_errors
        reason = f"{count} uncorrectable ECC error{'' if count == 1 else 's'}; reset the card"
    elif symptoms.remapping_failed:
        reason = "its memory has rows that could not be remapped; replace the card"
    elif symptoms.remapping_pending:
        reason = "rows of its memory are to be remapped; reset the card"
    elif symptoms.compute_mode == "prohibited":
        reason = "its compute mode is prohibited; no program may use it"
    return (Health.UNHEALTHY if reason else Health.HEALTHY), reason


def xid_reason(code: int) -> str | None:
    """Return what the event Xid ``code`` says against a device; None when a program caused it."""
    if code in APPLICATION_XIDS:
        return None
    known = _XIDS.get(code)
    return f"Xid {code}{f': {known}' if known else ''}"
