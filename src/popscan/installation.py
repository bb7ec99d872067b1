"""Where the workflow lies: in the checkout, or in the installed package."""

from __future__ import annotations

from pathlib import Path

from popscan.records import PopscanError

_PACKAGED = Path(__file__).resolve().parent / "_workflow"


def workflow_folder() -> Path:
    """Return the folder of the Snakefile, with ``config``, ``workflow`` and ``resources`` in it.

    A wheel holds a copy of them; an editable installation uses those of its checkout.
    """
    return _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2]


def shipped_models() -> Path:
    """Return the folder of the shipped model bundles, one folder each."""
    return workflow_folder() / "resources" / "models"


def config_file(name: str | Path) -> Path:
    """Return a config file: a path, or the name of one that popscan brings (``demo``).

    Raises
    ------
    PopscanError
        If there is neither; the message names those that popscan brings.
    """
    brought = workflow_folder() / "config" / f"{name}.yaml"
    for path in (Path(name), brought):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in brought.parent.glob("*.yaml")))
    raise PopscanError(f"{name}: no such config file; popscan brings {names}")
