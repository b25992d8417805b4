"""``python -m airflow_ai_provider.demo``: what ``make demo`` runs."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from airflow_ai_provider.core.errors import AirflowAiError, DemoError
from airflow_ai_provider.demo.airflow_home import (
    USERS,
    Home,
    claimed,
    environment,
    find_dags,
    write_passwords,
)
from airflow_ai_provider.demo.airflow_process import Say, Servers
from airflow_ai_provider.demo.ending import is_over
from airflow_ai_provider.demo.ledger import Gates
from airflow_ai_provider.demo.life import Life
from airflow_ai_provider.demo.people import People
from airflow_ai_provider.demo.processes import Interrupts, Processes, free_ports, require_free
from airflow_ai_provider.demo.reading import read_facts
from airflow_ai_provider.demo.report import write_report
from airflow_ai_provider.demo.rest import AirflowRest
from airflow_ai_provider.demo.table import addresses, gate_table


def main(argv: list[str] | None = None) -> int:
    """Run the demo and return its exit status."""
    args = _parser().parse_args(argv)
    interrupts = Interrupts()
    interrupts.install()
    try:
        with claimed(args.home) as folder:
            processes = Processes(folder / "logs")
            try:
                try:
                    _live(_home(args, folder), processes, interrupts, temporary=args.home is None)
                finally:
                    interrupts.hush()
                    processes.stop()
            finally:
                interrupts.hush()
                processes.stop()  # again: an interrupt may have torn the first
    except AirflowAiError as error:
        print(f"\ndemo: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything is stopped.", file=sys.stderr, flush=True)
        return interrupts.exit_status
    return 0


def _live(home: Home, processes: Processes, interrupts: Interrupts, *, temporary: bool) -> None:
    say = _clock()
    passwords = write_passwords(home)
    clients = {user: AirflowRest(home.airflow_url, user, passwords[user]) for user in USERS}
    servers = Servers(home, processes, interrupts, environment(home, os.environ), say)
    gates = Gates(home.store)
    servers.start(clients["ml"])
    people = People(clients)
    life = Life(
        rest=clients["ml"],
        people=people,
        servers=servers,
        gates=gates,
        interrupts=interrupts,
        say=say,
        is_over=is_over,
    )
    try:
        runs = life.run()
        say("the life is over")
        write_report(read_facts(gates, runs, people.answers), home.report)
    except DemoError:
        print("", *gate_table(gates.records()), sep="\n", flush=True)
        raise
    print("", *gate_table(gates.records()), "", *addresses(home, temporary=temporary), sep="\n")
    if sys.stdin.isatty() and sys.stdout.isatty():
        _stay(servers, interrupts)


def _stay(servers: Servers, interrupts: Interrupts) -> None:
    print("\nAirflow and MLflow stay up; Ctrl-C ends them.", flush=True)
    try:
        while True:
            servers.check()
            interrupts.pause(1.0)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)


def _clock() -> Say:
    began = time.monotonic()

    def say(sentence: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {sentence}", flush=True)

    return say


def _home(args: argparse.Namespace, folder: Path) -> Home:
    airflow, mlflow = free_ports(2)
    return Home(
        path=folder,
        airflow_port=require_free(args.port, what="Airflow") if args.port else airflow,
        mlflow_port=require_free(args.mlflow_port, what="MLflow") if args.mlflow_port else mlflow,
        dags=find_dags(),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_ai_provider.demo",
        description="Run a whole life of an AI project on a real Airflow on this machine.",
    )
    parser.add_argument(
        "--home",
        metavar="DIR",
        default=os.environ.get("DEMO_HOME") or None,
        help="where everything lives and stays (DEMO_HOME); a temporary folder unless said",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("DEMO_PORT") or None,
        help="Airflow's port (DEMO_PORT); a free one unless said",
    )
    parser.add_argument(
        "--mlflow-port",
        type=int,
        default=os.environ.get("DEMO_MLFLOW_PORT") or None,
        help="MLflow's port (DEMO_MLFLOW_PORT); a free one unless said",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
