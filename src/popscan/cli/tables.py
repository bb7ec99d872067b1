"""Commands on any table of people: audit, precision, ranges; and on a table of verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from popscan.cli.adding import Commands


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    audit = commands.add_parser(
        "audit", help="regress and audit any table of subjects and outcomes; write a report"
    )
    audit.add_argument("table", type=Path, help="TSV or CSV with participant_id, one row each")
    audit.add_argument("--configfile", type=Path, required=True, help="see config/tables/ixi.yaml")
    audit.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    audit.add_argument("--out", type=Path, required=True, help="folder of the results")
    audit.set_defaults(call=_audit)

    precision = commands.add_parser(
        "precision", help="repeatability of the measurements in a table with repeated visits"
    )
    precision.add_argument("table", type=Path, help="TSV or CSV, one row per visit")
    precision.add_argument("--subject", default="participant_id", metavar="COLUMN")
    precision.add_argument("--visit", default="session_id", metavar="COLUMN")
    precision.add_argument(
        "--columns", nargs="+", default=[], help="measurements; default: every column of numbers"
    )
    precision.add_argument(
        "--by", nargs="+", default=[], metavar="COLUMN", help="attributes whose groups are compared"
    )
    precision.add_argument(
        "--order", nargs="+", default=[], metavar="VISIT", help="visits without numbers: pre post"
    )
    precision.add_argument("--min-group", type=int, default=10, metavar="N")
    precision.add_argument("--out", type=Path, required=True, help="folder of the results")
    precision.set_defaults(call=_precision)
    _add_ranges(commands)
    _add_qc(commands)


def _add_ranges(commands: Commands) -> None:
    ranges = commands.add_parser(
        "ranges", help="reference centiles by sex and age, z-scores, comparison with published ones"
    )
    ranges.add_argument(
        "table", type=Path, help="TSV or CSV, one row per subject; or results/STUDY"
    )
    ranges.add_argument(
        "--columns", nargs="+", default=[], help="measurements; default: the protocol's outcomes"
    )
    ranges.add_argument("--age", default="age_years", metavar="COLUMN")
    ranges.add_argument("--sex", default="sex", metavar="COLUMN", help="'' for all together")
    ranges.add_argument(
        "--min-near", type=int, default=10, metavar="N", help="subjects within 5 years of an age"
    )
    ranges.add_argument("--step-years", type=float, default=5.0, metavar="YEARS")
    ranges.add_argument("--draws", type=int, default=200, metavar="N", help="for intervals")
    ranges.add_argument("--seed", type=int, default=0)
    ranges.add_argument(
        "--harmonise", default="", metavar="COLUMN", help="remove differences between these sites"
    )
    ranges.add_argument(
        "--preserve", nargs="*", metavar="COLUMN", help="effects that are kept; default: age, sex"
    )
    ranges.add_argument(
        "--min-site", type=int, default=10, metavar="N", help="fewest subjects of a site"
    )
    ranges.add_argument(
        "--pool-small-sites", action="store_true", help="treat smaller sites as one"
    )
    ranges.add_argument("--out", type=Path, required=True, help="folder of the results")
    ranges.set_defaults(call=_ranges)


def _add_qc(commands: Commands) -> None:
    qc = commands.add_parser("qc", help="tune the limits of quality control from verdicts")
    tune = qc.add_subparsers(metavar="ACTION", required=True).add_parser(
        "tune", help="ROC per check, proposed limits and their workload; changes no config"
    )
    tune.add_argument("table", type=Path, help="TSV of verdicts, as qc.overrides takes it")
    tune.add_argument("--study", type=Path, required=True, help="results/STUDY")
    tune.add_argument("--bad", nargs="+", default=["fail"], help="verdicts of bad results")
    tune.add_argument(
        "--false-alarms", type=float, default=0.1, metavar="SHARE", help="budget of good results"
    )
    tune.add_argument("--seed", type=int, default=0)
    tune.add_argument("--out", type=Path, required=True, help="folder of the results")
    tune.set_defaults(call=_tune)


def _print(page: Path, notes: Sequence[str]) -> None:
    """Print where the page is, and what was left out on the way."""
    for note in notes:
        print(note, file=sys.stderr)
    print(page)


def _audit(arguments: argparse.Namespace) -> None:
    from popscan.commands.configfile import load_table_config
    from popscan.commands.table_audit import audit_table

    config = load_table_config(arguments.configfile, arguments.config)
    index, notes = audit_table(arguments.table, config, arguments.out)
    _print(index, notes)


def _precision(arguments: argparse.Namespace) -> None:
    from popscan.commands.table_precision import precision_of_table

    page, notes = precision_of_table(
        arguments.table,
        arguments.out,
        subject=arguments.subject,
        visit=arguments.visit,
        columns=arguments.columns,
        by=arguments.by,
        min_group=arguments.min_group,
        order=arguments.order,
    )
    _print(page, notes)


def _ranges(arguments: argparse.Namespace) -> None:
    from popscan.commands.table_harmonised import Between
    from popscan.commands.table_ranges import ranges_of_table

    between = Between(
        site=arguments.harmonise,
        preserve=arguments.preserve,
        min_site=arguments.min_site,
        pool_small=arguments.pool_small_sites,
    )
    page, notes = ranges_of_table(
        arguments.table,
        arguments.out,
        columns=arguments.columns,
        age=arguments.age,
        sex=arguments.sex,
        min_near=arguments.min_near,
        step_years=arguments.step_years,
        draws=arguments.draws,
        seed=arguments.seed,
        between=between if arguments.harmonise else None,
    )
    _print(page, notes)


def _tune(arguments: argparse.Namespace) -> None:
    from popscan.commands.qc_tune import tune_study

    page, notes = tune_study(
        arguments.table,
        arguments.study,
        arguments.out,
        bad=arguments.bad,
        false_alarms=arguments.false_alarms,
        seed=arguments.seed,
    )
    _print(page, notes)
