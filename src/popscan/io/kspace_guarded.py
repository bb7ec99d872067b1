"""Raw k-space read by another process, so that a file that breaks the reader costs one subject."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from popscan.config.kspace import KSpaceInput
from popscan.records import KSpace, SubjectError

#: Processor time for any file, and bytes that are read in a second at least.
_LEAST_CPU_S, _BYTES_PER_S = 60, 2_000_000
#: Memory that the reading process may have at least: its libraries map some.
_LEAST_BYTES = 8 * 2**30
#: No answer has a longer line, or larger arrays.
_MAX_LINE, _MAX_BYTES = 2**24, 2**36


def read_guarded(
    path: Path, *, view: str, rules: KSpaceInput, least_cpu_s: float = _LEAST_CPU_S
) -> KSpace:
    """Read k-space of any known format in the reading process.

    Parameters
    ----------
    path, view, rules
        As for `popscan.io.kspace_formats.read_any_kspace`.
    least_cpu_s
        Processor time that any file may take; large ones may take more.

    Raises
    ------
    SubjectError
        ``reader_died`` if the reading process ended over the file; and those of the readers.
    """
    size = path.stat().st_size if path.is_file() else 0
    request = {
        "path": str(path),
        # The process stays where it was started; the path is that of the caller's folder of today.
        "folder": os.getcwd(),
        "view": view,
        "rules": rules.model_dump(),
        "cpu_s": least_cpu_s + size / _BYTES_PER_S,
        "memory_bytes": max(_LEAST_BYTES, psutil.virtual_memory().available),
    }
    return _READER.read(request)


class _Reader:
    """The reading process: started when it is needed, and again after it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, request: dict[str, Any]) -> KSpace:
        with self._lock:
            process = self._running()
            try:
                return self._ask(process, request)
            except (EOFError, BrokenPipeError, json.JSONDecodeError) as error:
                self.stop()
                raise SubjectError(
                    "reader_died",
                    f"{request['path']}: the library that reads it hung or broke down: the file is "
                    "damaged",
                ) from error
            except SubjectError:
                raise  # an answer, read to its end
            except BaseException:
                # What is left of an answer would be taken for the next subject's.
                self.stop()
                raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "popscan.io.kspace_child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> KSpace:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline(_MAX_LINE)
        if not line:
            raise EOFError
        about = json.loads(line)
        if "reason" in about:
            raise SubjectError(about["reason"], about["message"])
        if "fault" in about:
            raise RuntimeError(about["fault"])
        arrays: dict[str, Any] = {}
        for name, (dtype, shape) in about["arrays"].items():
            values = np.empty(shape, dtype=dtype)
            if values.nbytes > _MAX_BYTES:
                raise EOFError
            view = values.reshape(-1).view(np.uint8).data
            done = 0
            while done < len(view):
                # A pipe of bytes is a BufferedReader, which IO[bytes] does not promise.
                n = process.stdout.readinto(view[done:])  # type: ignore[attr-defined]
                if not n:
                    raise EOFError
                done += n
            arrays[name] = values
        x, y, z = about["spacing_mm"]
        matrix = about["matrix"]
        return KSpace(
            **arrays,
            spacing_mm=(x, y, z),
            view=about["view"],
            meta=about["meta"],
            matrix=None if matrix is None else (matrix[0], matrix[1]),
        )

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for channel in (process.stdin, process.stdout):
            if channel is not None:
                with contextlib.suppress(BrokenPipeError):
                    channel.close()
        process.wait()


_READER = _Reader()
atexit.register(_READER.stop)
