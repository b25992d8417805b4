"""Which verbs on which resources were used, and which a role allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.kubernetes.emulator.values import ApiError, Object

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
STREAMS = {"exec", "attach", "portforward"}


@dataclass(frozen=True)
class Use:
    """One permission, as RBAC counts them."""

    group: str
    resource: str  # with its subresource: pods/log
    verb: str


@dataclass(frozen=True)
class Record:
    """A request that was authorised or refused."""

    use: Use
    namespace: str | None
    name: str | None
    at: float


def uses_of(
    method: str, group: str, resource: str, sub: str, name: str | None, *, watch: bool
) -> tuple[Use, ...]:
    """Return what a request needs.

    Since Kubernetes 1.35 a stream that is opened by GET (a WebSocket) needs ``create``, too.
    """
    full = f"{resource}/{sub}" if sub else resource
    if method == "GET":
        verb = "get" if name else "watch" if watch else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = VERBS[method]
    uses = (Use(group, full, verb),)
    return (*uses, Use(group, full, "create")) if sub in STREAMS and verb == "get" else uses


class Access:
    """What a token may do: everything, until ``rules`` say otherwise."""

    def __init__(self) -> None:
        self.rules: frozenset[Use] | None = None
        self.denied: set[Use] = set()

    def check(self, uses: Iterable[Use], namespace: str | None) -> None:
        """Refuse, as the API server does, what the token may not do."""
        for use in uses:
            if use in self.denied or (self.rules is not None and use not in self.rules):
                where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
                raise ApiError(
                    403, "Forbidden",
                    f'{use.resource} is forbidden: User "system:serviceaccount:airflow:worker" '
                    f'cannot {use.verb} resource "{use.resource}" in API group "{use.group}" '
                    f"{where}",
                )  # fmt: skip


def uses_in(roles: Iterable[Object]) -> frozenset[Use]:
    """Return what the rules of roles, as a manifest has them, allow."""
    return frozenset(
        Use(group, resource, verb)
        for role in roles
        for rule in role.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )
