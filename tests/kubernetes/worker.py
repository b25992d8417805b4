"""A worker's process: runs tasks by number, each in a thread; ``python -m`` it with a try first."""

from __future__ import annotations

import sys
import threading

from tests.kubernetes.tasks import context, run

SAYS = {"sim/run-seconds": "4"}


def main(try_number: int, *numbers: int) -> int:
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        try:
            run(context(try_number, run_id=f"r{number}"), gpus=1, annotations=SAYS)
        except BaseException as error:  # noqa: BLE001 - the exit code says so
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in wrong:
        print(repr(error), file=sys.stderr)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
