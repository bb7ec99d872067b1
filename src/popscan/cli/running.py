"""Commands that begin or run a study: init, run, bids."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from popscan.cli.adding import Commands
from popscan.protocols import DEFAULT
from popscan.records import PopscanError


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    run = commands.add_parser(
        "run",
        help="run a study from any folder; further options go to snakemake",
        description="Runs snakemake with popscan's workflow in this folder. Options that are not "
        "listed here are passed on to snakemake as they are.",
    )
    run.add_argument("configfile", metavar="CONFIG", help="config file, or demo")
    run.add_argument("--profile", default="", help="slurm, slurm-noacct, or one of your own")
    run.add_argument("--cores", default="", metavar="N", help="default: all of this machine")
    run.set_defaults(call=_run, passes_on=True)

    bids = commands.add_parser(
        "bids",
        help="as a BIDS App: IN OUT participant|group; further options go to snakemake",
    )
    bids.add_argument("bids_dir", type=Path, metavar="IN", help="BIDS data set")
    bids.add_argument("output_dir", type=Path, metavar="OUT", help="folder of the derivatives")
    bids.add_argument("level", choices=("participant", "group"))
    bids.add_argument(
        "--participant-label", "--participant_label", nargs="+", default=[], metavar="LABEL"
    )
    bids.add_argument("--protocol", default=DEFAULT, help=f"default: {DEFAULT}")
    bids.add_argument("--profile", default="", help="as for popscan run")
    bids.add_argument("--cores", default="", metavar="N", help="as for popscan run")
    bids.set_defaults(call=_bids, passes_on=True)

    init = commands.add_parser(
        "init", help="write a first config and cohort table from a folder of raw data"
    )
    init.add_argument(
        "root", nargs="?", default="", help="folder of the raw data; asked for if left out"
    )
    init.add_argument(
        "--out",
        type=Path,
        default=Path("study.yaml"),
        help="config to write; its name is the study's",
    )
    init.add_argument("--protocol", default=DEFAULT, help=f"default: {DEFAULT}")
    init.set_defaults(call=_init)


def _run(arguments: argparse.Namespace) -> None:
    from popscan.commands.run_study import run_command, run_study

    command = run_command(
        arguments.configfile,
        profile=arguments.profile,
        cores=arguments.cores,
        options=arguments.passed_on,
    )
    print(" ".join(command), file=sys.stderr)
    run_study(command)


def _bids(arguments: argparse.Namespace) -> None:
    from popscan.commands.bids_app import bids_command
    from popscan.commands.run_study import run_study

    command = bids_command(
        arguments.bids_dir,
        arguments.output_dir,
        arguments.level,
        labels=arguments.participant_label,
        protocol=arguments.protocol,
        cores=arguments.cores,
        profile=arguments.profile,
        options=arguments.passed_on,
    )
    print(" ".join(command), file=sys.stderr)
    run_study(command)


def _init(arguments: argparse.Namespace) -> None:
    from popscan.commands.draft import draft_study

    root = arguments.root
    if not root:
        if not sys.stdin.isatty():
            raise PopscanError("the folder of the raw data is missing: popscan init ROOT")
        root = input("Folder of the raw data: ").strip()
    draft = draft_study(Path(root), arguments.out, protocol=arguments.protocol)
    print("\n".join(draft.notes))
    print(f"{draft.config} is written. Next: popscan check --configfile {draft.config}")
