"""Another process of the same study, whose numerics use another number of threads.

It reads one request a line, ``{"stage": ..., "unit": ...}``, and answers with one line: ``{}``, or
what went wrong. `popscan storage` is its command.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

from popscan.disk import MACHINE_ERRNOS
from popscan.gpu_errors import is_gpu_fault
from popscan.records import PopscanError, SubjectError
from popscan.task import MachineError
from popscan.threads import thread_variables

log = logging.getLogger(__name__)


class Remaker:
    """Asks a process of its own to make files of one shard again; it ends with this object."""

    def __init__(self, root: Path, shard: str, *, threads: int) -> None:
        command = [sys.executable, "-m", "popscan", "storage", str(root)]
        self._process = subprocess.Popen(
            [*command, "--serve", shard, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **thread_variables(threads)},
        )
        self._end = weakref.finalize(self, _end, self._process)

    def __call__(self, stage: str, unit: str) -> None:
        """Have files of a subject made again.

        Raises
        ------
        SubjectError
            As `popscan.stages.restoring.Restorer`.
        MachineError
            If the machine failed there, or the process was killed.
        PopscanError
            For anything else that is known to stop it.
        RuntimeError
            For a fault of popscan or of a library, which the process's log has in full.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps({"stage": stage, "unit": unit}).encode() + b"\n")
            requests.flush()
            line = answers.readline()
        if not line.endswith(b"\n"):
            status = self._process.wait()
            raise MachineError(
                f"{stage}, {unit}: the process that makes removed files again ended ({status})"
            )
        answer = json.loads(line)
        if answer:
            raise _error_of(answer)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process end: it has nothing to read any more."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    process.wait()


def _error_of(answer: dict[str, str]) -> Exception:
    kind, message = answer["kind"], answer["message"]
    if kind == "subject":
        return SubjectError(answer["reason"], message)
    kinds = {"machine": MachineError, "popscan": PopscanError}
    return kinds.get(kind, RuntimeError)(message)


def serve(remake: Callable[[str, str], None], requests: IO[str], answers: IO[str]) -> None:
    """Make files again until there are no more requests.

    Parameters
    ----------
    remake
        Stage, unit -> makes its files again, as `popscan.stages.restoring.Restorer.remake`.
    requests, answers
        Lines of JSON.
    """
    for line in requests:
        request = json.loads(line)
        answers.write(json.dumps(_answer(remake, request["stage"], request["unit"])) + "\n")
        answers.flush()


def _answer(remake: Callable[[str, str], None], stage: str, unit: str) -> dict[str, str]:
    try:
        remake(stage, unit)
    except SubjectError as error:
        return {"kind": "subject", "reason": error.reason, "message": str(error)}
    except MachineError as error:
        return {"kind": "machine", "message": str(error)}
    except PopscanError as error:
        return {"kind": "popscan", "message": str(error)}
    except OSError as error:
        kind = "machine" if error.errno in MACHINE_ERRNOS else "popscan"
        return {"kind": kind, "message": f"{stage}, {unit}: {error}"}
    except Exception as error:  # A fault of ours or of a library, for whoever asked to say.
        kind = "machine" if isinstance(error, MemoryError) or is_gpu_fault(error) else "fault"
        log.exception("%s, %s: not made again", stage, unit)
        first = (str(error).splitlines() or [""])[0]
        return {"kind": kind, "message": f"{type(error).__name__}: {first[:200]}"}
    return {}
