"""Commands for results that leave: the crate of a study."""

from __future__ import annotations

import argparse
from pathlib import Path

from popscan.cli.adding import Commands


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
