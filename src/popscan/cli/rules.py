"""Commands that the rules of the workflow call: load, call, save.

Without `help`, so that ``popscan --help`` lists what people type; each has its own ``--help``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from popscan.cli.adding import Call, Commands
from popscan.garbage import seldom_collected
from popscan.given import read_given
from popscan.inventory import inventoried
from popscan.records import PopscanError
from popscan.stages import TASKS
from popscan.store import Store

#: The command of every per-subject stage's rule.
OF_A_SHARD = "stage"
#: What `--options` takes.
GIVEN = "config sections: JSON, or its file"


def given(text: str) -> dict[str, object]:
    """Read `--options`."""
    try:
        return read_given(text)
    except PopscanError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add(commands: Commands) -> None:
    """Add the rules' commands to the parser."""
    stage = rule_command(commands, OF_A_SHARD, _stage, "run one per-subject stage over one shard")
    stage.add_argument("stage", choices=TASKS, metavar="STAGE")
    stage.add_argument("--shard", required=True)
    stage.add_argument("--subjects", default="", help="comma-separated; default: all")
    stage.add_argument("--threads", type=int, default=1)
    stage.add_argument(
        "--max-failed", nargs=2, type=float, default=(0.5, 5), metavar=("FRACTION", "MIN")
    )
    plan = commands.add_parser("plan", help="find the study's subjects and assign them to shards")
    plan.add_argument("--configfile", type=Path, default=Path("config/demo.yaml"))
    plan.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    plan.add_argument("--study", type=Path, help="results/<study>; default: as the config says")
    plan.add_argument("--options", type=given, help=GIVEN)
    plan.add_argument(
        "--trust-folders",
        action="store_true",
        help="folders of many files are unchanged while no file came or went (as the rule does)",
    )
    plan.add_argument(
        "--estimate", type=int, metavar="N", help="only say what N subjects would cost, and end"
    )
    plan.add_argument(
        "--allow-replace",
        action="store_true",
        help="let another source or cohort replace the results that the folder holds",
    )
    plan.set_defaults(call=_plan)
    rule_command(commands, "collect", _collect, "write the study's tables from the manifests")
    rule_command(commands, "associate", _associate, "regress biomarkers; reference ranges")
    rule_command(commands, "fairness", _fairness, "compare every stage's outcome between groups")
    rule_command(commands, "join", _join, "write what a study says of all its protocols")
    report = commands.add_parser("report", description="write the study's report")
    report.add_argument("--study", type=Path, required=True)
    report.add_argument("--config", type=given, required=True, help="the config: JSON, or a file")
    report.set_defaults(call=_report)


def rule_command(
    commands: Commands, name: str, call: Call, text: str, *, study: bool = True
) -> argparse.ArgumentParser:
    """Add a command with `--study` and `--options`; return its parser."""
    command: argparse.ArgumentParser = commands.add_parser(name, description=text)
    if study:
        command.add_argument("--study", type=Path, required=True, help="results/<study>")
    command.add_argument("--options", type=given, required=True, help=GIVEN)
    command.set_defaults(call=call)
    return command


class _Progress:
    """Says how far a shard is: a line every ten seconds, so that a log stays readable."""

    def __init__(self, what: str, *, every_s: float = 10.0) -> None:
        self.what, self.every_s, self.last = what, every_s, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= self.every_s:
            self.last = time.monotonic()
            print(f"{self.what}: {done}/{total}", file=sys.stderr, flush=True)


def _stage(arguments: argparse.Namespace) -> None:
    from popscan.run import Limits
    from popscan.stages.tasks import run_stage

    result = run_stage(
        Store(arguments.study),
        arguments.stage,
        arguments.shard,
        arguments.options,
        subjects=arguments.subjects or arguments.options.pop("subjects", []),
        limits=Limits(
            max_failed_fraction=arguments.max_failed[0],
            max_failed_min=int(arguments.max_failed[1]),
        ),
        threads=arguments.threads,
        progress=_Progress(f"{arguments.stage} {arguments.shard}"),
    )
    print(
        f"{arguments.stage} {arguments.shard}: {result.n_done} subjects done, "
        f"{result.n_kept} kept, {len(result.records)} recorded"
    )


def _plan(arguments: argparse.Namespace) -> None:
    from popscan.commands.configfile import load_config
    from popscan.stages.plan.job import plan_study

    options, study, allow_replace = arguments.options, arguments.study, arguments.allow_replace
    if options is None:
        config = load_config(arguments.configfile, arguments.config)
        options = config.model_dump()
        study = study or Path(config.study.results, config.study.name)
        allow_replace = allow_replace or config.allow_replace
    if study is None:
        raise PopscanError("--options without --study")
    if arguments.estimate:
        from popscan.commands.estimate import format_estimate, stage_costs

        size = int(options["plan"]["shard_size"])
        print(format_estimate(stage_costs(study), n=arguments.estimate, shard_size=size))
        return
    summary = plan_study(study, options, trust=arguments.trust_folders, allow_replace=allow_replace)
    print(f"{summary.n_subjects} subjects in {len(summary.shards)} shards")
    for name in ("new", "changed", "removed", "unlisted"):
        units = getattr(summary, name)
        if units:
            listed = ", ".join(units[:10]) + (", ..." if len(units) > 10 else "")
            print(f"{name}: {len(units)}: {listed}")
    for note in summary.notes:
        print(f"note: {note}")
    if summary.withdrawn and any(summary.withdrawn.values()):
        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in summary.withdrawn.items())
        print(f"withdrawn visits: {counts}")
    if summary.removal:
        print(f"withdrawn now: {summary.removal}")
    for problem in summary.problems:
        print(f"problem: {problem}", file=sys.stderr)


def _collect(arguments: argparse.Namespace) -> None:
    from popscan.stages.collect.job import collect

    with inventoried(arguments.study, arguments.study / "tables" / "ledger.parquet"):
        counts = collect(Store(arguments.study), arguments.options)
    for name, count in counts.items():
        print(f"{name}: {count} rows")


def _associate(arguments: argparse.Namespace) -> None:
    from popscan.stages.associate.job import associate_study

    with inventoried(arguments.study, arguments.study / "tables" / "associations.parquet"):
        associate_study(arguments.study, arguments.options)


def _fairness(arguments: argparse.Namespace) -> None:
    from popscan.stages.fairness.job import audit_study

    with inventoried(arguments.study, arguments.study / "tables" / "fairness_gaps.parquet"):
        audit_study(arguments.study, arguments.options)


def _report(arguments: argparse.Namespace) -> None:
    from popscan.stages.report.job import report_study

    made = arguments.study / "report" / "index.html"
    with inventoried(arguments.study, made), seldom_collected():
        print(report_study(arguments.study, arguments.config))


def _join(arguments: argparse.Namespace) -> None:
    from popscan.commands.joining import join_study

    print(join_study(arguments.study, arguments.options["protocols"]))
