"""A study of several protocols on disk: a whole study per protocol, and what joins them.

``results/STUDY/PROTOCOL`` is a study like any other; ``results/STUDY/tables`` and ``report`` hold
the account of all subjects in all of them (`popscan.study.joined`). The Snakefile imports this
module: nothing heavy here.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from popscan.records import PopscanError

_REGISTRY = Path("plan", "registry.tsv")
#: What is made of all parts together, and made again by the next run.
JOINED = ("tables", "report")


def is_study(folder: Path) -> bool:
    """Whether a folder holds a planned study of one protocol."""
    return (folder / _REGISTRY).is_file()


def parts_of(folder: Path) -> list[Path]:
    """Return the studies of one protocol that a folder holds: itself, its parts, or none."""
    if is_study(folder):
        return [folder]
    return sorted(path.parents[1] for path in folder.glob(f"*/{_REGISTRY}"))


def known_studies(results: Path) -> list[Path]:
    """Return the studies below the folder of results, those of several protocols as one."""
    return [path for path in sorted(results.glob("*")) if path.is_dir() and parts_of(path)]


def check_folder(folder: Path, protocols: Collection[str]) -> None:
    """Stop before a study of several protocols mixes with other results.

    Parameters
    ----------
    folder
        ``results/STUDY``.
    protocols
        Those of the study; none for a study of one protocol, which has no parts.

    Raises
    ------
    PopscanError
        If the folder itself holds a study of one protocol, or parts that the config does not name.
    """
    if protocols and is_study(folder):
        raise PopscanError(
            f"{folder} holds the results of one protocol; this config names "
            f"{', '.join(protocols)}. Give the study another name (study.name)"
        )
    others = [part.name for part in parts_of(folder) if part != folder]
    if unknown := [name for name in others if name not in protocols]:
        raise PopscanError(
            f"{folder} holds results of the protocols {', '.join(others)}; this config does not "
            f"name {', '.join(unknown)}. Give the study another name (study.name), or move "
            f"{folder / unknown[0]} away"
        )
