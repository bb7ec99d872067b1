"""Commands for results that leave: the crate of a study, and all that it has of some subjects."""

from __future__ import annotations

import argparse
from pathlib import Path

from popscan.cli.adding import Commands
from popscan.cli.studies import add_study, find_parts, names_in


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    crate = commands.add_parser(
        "crate", help="write what a study may share as an RO-Crate, for a repository"
    )
    crate.add_argument(
        "study", type=Path, nargs="?", help="results/<study>; default: the only one in results/"
    )
    crate.add_argument("--out", type=Path, required=True, help="a new folder, or a new .zip file")
    crate.add_argument(
        "--licence", required=True, help="of the results: SPDX identifier (CC-BY-4.0) or address"
    )
    crate.add_argument("--title", default="", help="default: the study's name")
    crate.add_argument("--abstract", default="", help="default: which files are in it")
    crate.add_argument(
        "--author", default="", metavar="ORCID", help="address of the author's ORCID"
    )
    crate.set_defaults(call=_crate)

    export = commands.add_parser(
        "export",
        help="copy files and table rows of some subjects into a new folder; it holds identifiers",
        description="Copies the derivatives of some subjects, from their folders or archives, and "
        "their rows of the tables. The folder holds identifiers: it is not for sharing (share/ "
        "and popscan crate are). Files are compared with their checksums; where one is damaged, "
        "it is named and nothing is written.",
    )
    add_study(export)
    export.add_argument(
        "--subjects",
        required=True,
        metavar="IDS|FILE",
        help="subjects or visits: comma-separated, or a file with one per line",
    )
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder, or an empty one"
    )
    export.set_defaults(call=_export)


def _crate(arguments: argparse.Namespace) -> None:
    from popscan.cli.studies import find_study
    from popscan.commands.crate import write_crate
    from popscan.opened import open_study

    written = write_crate(
        open_study(find_study(arguments.study)),
        arguments.out,
        licence=arguments.licence,
        name=arguments.title,
        description=arguments.abstract,
        author=arguments.author,
    )
    print(f"{written}: look at it before it leaves (docs/sharing.md)")


def _export(arguments: argparse.Namespace) -> None:
    from popscan.commands.export import export_subjects

    parts = find_parts(arguments.study)
    for line in export_subjects(parts, names_in(arguments.subjects), arguments.out):
        print(line)
