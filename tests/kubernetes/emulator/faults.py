"""What goes wrong between a client and the API server."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

from aiohttp import web

from tests.kubernetes.emulator.values import ApiError

REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose "METHOD path" ``pattern`` finds."""

    pattern: str
    code: int | None = None
    times: int = 1
    delay: float = 0.0
    drop: bool = False  # close the connection instead of an answer
    lose: bool = False  # do what is asked, then close the connection


@dataclass
class Faults:
    """Planned faults, and random ones at ``rate``, drawn from ``seed``."""

    planned: list[Fault] = field(default_factory=list)
    rate: float = 0.0
    codes: tuple[int, ...] = (503, 409, 429)
    seed: int = 1
    lose_rate: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def add(self, fault: Fault) -> None:
        self.planned.append(fault)

    async def before(self, request: web.BaseRequest, *, is_long: bool) -> Fault | None:
        """Do what is planned for ``request``; return a fault that acts after it is done."""
        about = f"{request.method} {request.path}"
        for fault in self.planned:
            if fault.times > 0 and re.search(fault.pattern, about):
                fault.times -= 1
                return await self._do(fault, request)
        if is_long or not self.rate:
            return None
        if self._random.random() < self.rate:
            raise _error(self._random.choice(self.codes))
        return Fault("", lose=True) if self._random.random() < self.lose_rate else None

    async def _do(self, fault: Fault, request: web.BaseRequest) -> Fault | None:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.drop:
            drop(request)
        if fault.code:
            raise _error(fault.code)
        return fault if fault.lose else None


def drop(request: web.BaseRequest) -> None:
    """Close the connection that ``request`` came by."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("dropped")


def _error(code: int) -> ApiError:
    return ApiError(code, REASONS.get(code, "Fault"), "injected fault")
