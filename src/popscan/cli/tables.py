"""Commands on any table of people: audit, precision."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
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


def _audit(arguments: argparse.Namespace) -> None:
    from popscan.commands.configfile import load_table_config
    from popscan.commands.table_audit import audit_table

    config = load_table_config(arguments.configfile, arguments.config)
    index, notes = audit_table(arguments.table, config, arguments.out)
    for note in notes:
        print(note, file=sys.stderr)
    print(index)


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
    for note in notes:
        print(note, file=sys.stderr)
    print(page)
