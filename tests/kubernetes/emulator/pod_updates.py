"""What an update may change of a pod; of one behind a gate also where it may go, if only narrower.

As in Kubernetes from 1.27 on (``ValidatePodUpdate``): gates may be taken away and not added; a node
selector may get longer; required node affinity may be given where there is none, and each of its
terms may get longer.
"""

from __future__ import annotations

from typing import Any

from tests.kubernetes.emulator.values import Object

_FREE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
_WISH = "requiredDuringSchedulingIgnoredDuringExecution"


def may_become(old: Object, new: Object) -> bool:
    """Whether a pod's spec may be changed so."""
    gated = bool(old.get("schedulingGates"))
    before, after = old.get("schedulingGates") or [], new.get("schedulingGates") or []
    if any(gate not in before for gate in after):
        return False
    if _fixed(old, gated) != _fixed(new, gated):
        return False
    return not gated or (_selector_grows(old, new) and _affinity_narrows(old, new))


def _fixed(spec: Object, gated: bool) -> Object:
    free = {*_FREE, "schedulingGates", *(("nodeSelector", "affinity") if gated else ())}
    fixed = {name: value for name, value in spec.items() if name not in free}
    fixed["containers"] = [dict(c, image=0) for c in spec.get("containers") or []]
    return fixed


def _selector_grows(old: Object, new: Object) -> bool:
    before, after = old.get("nodeSelector") or {}, new.get("nodeSelector") or {}
    return before.items() <= after.items()


def _affinity_narrows(old: Object, new: Object) -> bool:
    if _rest(old) != _rest(new):
        return False
    before, after = _terms(old), _terms(new)
    if not before:
        return True
    return len(before) == len(after) and all(map(_is_longer, before, after))


def _is_longer(before: Object, after: Object) -> bool:
    kinds = ("matchExpressions", "matchFields")
    if not any(before.get(kind) for kind in kinds):
        return not any(after.get(kind) for kind in kinds)  # an empty term lets it go nowhere
    return all((after.get(k) or [])[: len(before.get(k) or [])] == (before.get(k) or [])
               for k in kinds)  # fmt: skip


def _terms(spec: Object) -> list[Any]:
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return (node.get(_WISH) or {}).get("nodeSelectorTerms") or []


def _rest(spec: Object) -> Object:
    affinity = dict(spec.get("affinity") or {})
    node = {k: v for k, v in (affinity.pop("nodeAffinity", None) or {}).items() if k != _WISH}
    return {**affinity, **({"nodeAffinity": node} if node else {})}
