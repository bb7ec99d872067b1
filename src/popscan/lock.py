"""One Snakemake per study.

The lock is the kernel's (``flock``): it ends with the process that holds it, however it ends, so
that nothing has to be unlocked by hand after a crash. The Snakefile imports this module, so this
module imports nothing heavy.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import IO


class StudyLock:
    """The right to run a study: held by one Snakemake until its process ends.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    """

    def __init__(self, study_root: Path) -> None:
        self.path = study_root / "store" / "lock"
        self._stream: IO[str] | None = None

    def is_free(self) -> bool:
        """Whether no process holds the study; changes nothing."""
        try:
            with self.path.open() as stream:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

    def acquire(self) -> None:
        """Take the study for the rest of this process.

        Raises
        ------
        BlockingIOError
            If another process has it; the message says which.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = self.path.open("a+")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            who = stream.read().strip() or "another process"
            stream.close()
            raise BlockingIOError(
                f"{self.path.parents[1]} is being run by {who}; wait for it to end, or stop it"
            ) from error
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        self._stream = stream


def clear_stale_locks(snakemake_folder: Path, study: str) -> list[Path]:
    """Remove Snakemake's locks of a study that no process runs any more.

    Parameters
    ----------
    snakemake_folder
        ``.snakemake`` of the working directory.
    study
        The study's folder as the Snakefile writes it; locks that name none of its files stay.

    Returns
    -------
    list of Path
        What was removed; nothing if the study is being run.
    """
    if not StudyLock(Path(study)).is_free():
        return []
    stale = []
    for path in sorted((snakemake_folder / "locks").glob("*.lock")):
        with path.open() as stream:
            if any(line.startswith(f"{study}/") for line in stream):
                stale.append(path)
    for path in stale:
        path.unlink(missing_ok=True)
    return stale
