"""Which study and subjects a command is about: as given, or the only study there is."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from popscan.names import name_list, names_of_lines
from popscan.records import PopscanError
from popscan.study.parts import known_studies, parts_of


def add_study(command: argparse.ArgumentParser) -> None:
    """Add the study's folder to the arguments of a command."""
    command.add_argument(
        "study", type=Path, nargs="?", help="results/<study>; default: the only one in results/"
    )


def _which(found: list[Path]) -> str:
    """Return why no study could be chosen, and what to type."""
    if not found:
        return "no study found in results/; give its folder, e.g. popscan status results/mystudy"
    return f"several studies in results/; name one: {', '.join(str(p) for p in found)}"


def find_parts(given: Path | None) -> list[Path]:
    """Return a study's folder, or those of its protocols: as given, or the only one in results/."""
    if given is not None:
        for path in (given, Path("results") / given):
            if parts := parts_of(path):
                return parts
        raise PopscanError(f"{given}: no study there (no plan/registry.tsv)")
    found = known_studies(Path("results"))
    if len(found) != 1:
        raise PopscanError(_which(found))
    return parts_of(found[0])


def find_study(given: Path | None) -> Path:
    """Return the study's folder; of a study of several protocols one has to be named."""
    parts = find_parts(given)
    if len(parts) > 1:
        raise PopscanError(f"a study of several protocols; name one: {', '.join(map(str, parts))}")
    return parts[0]


def is_study(path: Path) -> bool:
    """Whether a study's folder, or its name in results/, is there."""
    return any(parts_of(folder) for folder in (path, Path("results") / path))


def lines_in(path: Path) -> list[str]:
    """Return the subjects and visits that a file lists, one per line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PopscanError(f"{path}: not UTF-8 text; expected a list of subjects") from error
    return names_of_lines(text.splitlines())


def names_in(text: str) -> list[str]:
    """Return the subjects and visits of an argument: names with commas, or a file of them."""
    # Not Path.is_file: a list longer than a file name may be is an error to it.
    return lines_in(Path(text)) if os.path.isfile(text) else name_list(text)
