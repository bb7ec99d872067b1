"""``popscan new-protocol``: a working protocol in a package of its own."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from popscan.protocols import known
from popscan.records import PopscanError

#: Template -> file of the new package; NAME stands for the protocol's name in both.
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "protocol.py.txt": "NAME/__init__.py",
    "organ.py.txt": "NAME/organ.py",
    "test_protocol.py.txt": "tests/test_NAME.py",
}


def new_protocol(name: str, folder: Path) -> Path:
    """Write a package with a protocol that works: a threshold, a volume, two checks, and tests.

    Parameters
    ----------
    name
        Of the protocol and its package: lower-case letters, digits and ``_``.
    folder
        Where the package's folder is made.

    Returns
    -------
    Path
        The package's folder.

    Raises
    ------
    PopscanError
        If the name cannot be one or is taken, or the folder is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise PopscanError(f"{name!r}: lower-case letters, digits and _ are expected")
    if name in known():
        raise PopscanError(f"{name!r}: there is a protocol of this name already ({known()[name]})")
    target = folder / name
    if target.exists():
        raise PopscanError(f"{target}: is there already; nothing is written over")
    templates = files("popscan.commands") / "skeleton"
    for template, place in _FILES.items():
        path = target / place.replace("NAME", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (templates / template).read_text(encoding="utf-8")
        path.write_text(text.replace("NAME", name), encoding="utf-8")
    return target
