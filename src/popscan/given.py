"""What the workflow gives its jobs: files named by their content, since a command line is short.

Linux takes 128 KiB per argument, which the names of 7,000 subjects fill. The Snakefile imports this
module, so it imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from popscan.disk import write_atomic
from popscan.records import PopscanError


class GivenFiles:
    """Files of one study; written once jobs are to run, so that a dry run changes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._texts: dict[str, str] = {}
        self._writing = False

    def file(self, given: Mapping[str, object], *, in_order: bool = False) -> str:
        """Return the path of a file with this content: another content has another path.

        Parameters
        ----------
        given
            What the job is given, as plain data.
        in_order
            Whether the order of keys matters; otherwise another order is the same content.
        """
        text = json.dumps(given, sort_keys=not in_order)
        path = f"{self.folder}/{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"
        self._texts[path] = text
        if self._writing:
            _write(path, text)
        return path

    def write(self) -> None:
        """Write the files asked for until now, and from now on at once."""
        self._writing = True
        for path, text in self._texts.items():
            _write(path, text)


def _write(path: str, text: str) -> None:
    if not Path(path).exists():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(path), text.encode())


def read_given(text: str) -> dict[str, object]:
    """Return what a command is given: JSON itself, or the name of a file of it.

    Raises
    ------
    PopscanError
        If it is neither.
    """
    try:
        given = json.loads(text if text.lstrip().startswith("{") else Path(text).read_bytes())
    except (OSError, ValueError) as error:
        raise PopscanError(f"{text[:200]}: neither JSON nor a file of it ({error})") from error
    if not isinstance(given, dict):
        raise PopscanError(f"{text[:200]}: expected a JSON object")
    return given
