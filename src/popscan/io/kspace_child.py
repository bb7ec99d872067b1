"""A process that reads k-space for another one: ``python -m popscan.io.kspace_child``.

Damaged and hostile HDF5 files can send the HDF5 library into an endless loop or break it down,
which no exception reports. So they are read in a process of their own, with limits on its memory
and on processor time per file. Requests are lines of JSON on its standard input; an answer is a
line of JSON, then the bytes of the arrays that it names. It ends with its input.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from popscan.config.kspace import KSpaceInput
from popscan.io.jsonfile import plain
from popscan.io.kspace_formats import read_any_kspace
from popscan.records import KSpace, SubjectError

#: Fields of `KSpace` that are arrays.
ARRAYS = ("data", "mask", "affine", "frame_times_ms", "trajectory", "shots")


def answer(request: Mapping[str, Any]) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Read one file; return what is known of it or what is wrong with it, and the arrays."""
    try:
        os.chdir(request["folder"])
        kspace = read_any_kspace(
            Path(request["path"]),
            view=request["view"],
            rules=KSpaceInput.model_validate(request["rules"]),
        )
    except SubjectError as error:
        return {"reason": error.reason, "message": str(error)}, []
    except MemoryError:
        message = f"{request['path']}: more memory is needed than there is"
        return {"reason": "kspace_too_large", "message": message}, []
    except Exception as error:  # a fault of ours or of a library
        return {"fault": f"{type(error).__name__}: {error}"}, []
    return described(kspace)


def described(kspace: KSpace) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return k-space as JSON and arrays."""
    there = {name: getattr(kspace, name) for name in ARRAYS}
    arrays = {k: np.ascontiguousarray(v) for k, v in there.items() if v is not None}
    about = {
        "arrays": {name: [values.dtype.str, values.shape] for name, values in arrays.items()},
        "spacing_mm": kspace.spacing_mm,
        "view": kspace.view,
        "meta": dict(kspace.meta),
        "matrix": kspace.matrix,
    }
    return about, list(arrays.values())


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    low = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (low, hard))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(
            resource.RLIMIT_CPU, max(1, int(used.ru_utime + used.ru_stime + request["cpu_s"]) + 1)
        )
        _limit(resource.RLIMIT_AS, int(request["memory_bytes"]))
        about, arrays = answer(request)
        answers.write(json.dumps(plain(about)).encode() + b"\n")
        for values in arrays:
            answers.write(values.reshape(-1).view(np.uint8).data)
        answers.flush()


if __name__ == "__main__":
    # Whatever libraries print goes to the standard error.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, channel)
