"""Work that many ask for at once: each gets an answer of its own, whoever else asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from airflow_ai_provider.services.together import Together


class Work:
    """Doubles numbers; waits in its first round until ``go`` is set."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, asked: Sequence[int]) -> list[int | BaseException]:
        self.rounds.append(list(asked))
        self.began.set()
        assert self.go.wait(10)
        if 13 in asked:
            raise RuntimeError("nothing was done")
        return [2 * number if number >= 0 else ValueError(str(number)) for number in asked]


async def ask_beside(work: Work, *numbers: int) -> list[int | BaseException]:
    """Ask for 1; while that is under way, for the others."""
    together = Together(work)
    first = asyncio.create_task(together.ask(1))
    assert await asyncio.to_thread(work.began.wait, 10)
    others = [asyncio.create_task(together.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    work.go.set()
    assert await first == 2
    return await asyncio.gather(*others, return_exceptions=True)


def test_those_who_ask_meanwhile_are_answered_in_one_go() -> None:
    work = Work()
    assert asyncio.run(ask_beside(work, 2, 3, 4)) == [4, 6, 8]
    assert work.rounds == [[1], [2, 3, 4]]


def test_an_error_of_one_is_raised_to_that_one() -> None:
    found = asyncio.run(ask_beside(Work(), 2, -3, 4))
    assert (found[0], found[2]) == (4, 8)
    assert isinstance(found[1], ValueError)


def test_an_error_of_the_work_is_raised_to_all_and_the_next_are_served() -> None:
    work = Work()

    async def both() -> None:
        found = await ask_beside(work, 12, 13)
        assert [type(one) for one in found] == [RuntimeError, RuntimeError]

    asyncio.run(both())
    together = Together(work)
    with pytest.raises(RuntimeError):
        asyncio.run(together.ask(13))
    assert asyncio.run(together.ask(7)) == 14  # in another loop, as a server's that starts again


def test_who_goes_away_is_not_missed() -> None:
    work = Work()

    async def leave() -> int:
        together = Together(work)
        gone = asyncio.create_task(together.ask(1))
        assert await asyncio.to_thread(work.began.wait, 10)
        gone.cancel()
        work.go.set()
        return await together.ask(5)

    assert asyncio.run(leave()) == 10
