"""Commands of the experiment's rules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from popscan.cli.adding import Call, Commands
from popscan.cli.rules import GIVEN, given
from popscan.records import Status


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    data = _command(commands, "experiment-data", _data, "prepare subjects of an experiment")
    data.add_argument("--part", type=int, required=True)
    _command(commands, "experiment-split", _split, "draw an experiment's test set")
    trial = _command(commands, "experiment-trial", _trial, "train and test one trial")
    trial.add_argument("--trial", required=True)
    trial.add_argument("--threads", type=int, default=1)
    _command(commands, "experiment", _results, "write an experiment's tables and page")


def _command(commands: Commands, name: str, call: Call, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, description=text)
    command.add_argument("--study", type=Path, required=True, help="results/<study>")
    command.add_argument("--options", type=given, required=True, help=GIVEN)
    command.set_defaults(call=call)
    return command


def _data(arguments: argparse.Namespace) -> None:
    from popscan.stages.experiment.data import prepare_part

    records = prepare_part(arguments.study, arguments.part, arguments.options)
    ok = sum(record.status is Status.OK for record in records)
    print(f"{ok} of {len(records)} subjects can be used")


def _split(arguments: argparse.Namespace) -> None:
    from popscan.stages.experiment.data import split

    found = split(arguments.study, arguments.options)
    for role in ("test", "pool"):
        listed = ", ".join(f"{group} {len(units)}" for group, units in found[role].items())
        print(f"{role}: {listed}")


def _trial(arguments: argparse.Namespace) -> None:
    from popscan.stages.experiment.job import run_trial_job

    record = run_trial_job(
        arguments.study, arguments.trial, arguments.options, threads=arguments.threads
    )
    print(f"{record.unit}: {record.status}, {record.seconds:.0f} s")
    if record.status is not Status.OK:
        # The job ends well: a failed trial is a result, and the others go on.
        print(f"{record.reason}: {record.message}", file=sys.stderr)


def _results(arguments: argparse.Namespace) -> None:
    from popscan.stages.experiment.job import write_results

    print(write_results(arguments.study, arguments.options))
