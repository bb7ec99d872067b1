"""How many threads numerics use, which decides the order of sums, and so the last bits of results.

Libraries read it from the environment when they are loaded; those that are already are asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from threadpoolctl import threadpool_limits

#: What OpenMP (torch among others) and the libraries of linear algebra read.
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment of a process whose numerics use so many threads."""
    return dict.fromkeys(_VARIABLES, str(threads))


def limit_threads(threads: int) -> None:
    """Keep numerics to the threads of a job, in libraries that are loaded and those to come.

    What the environment held before is overruled, since records say of each result how many
    threads its job was given; 0 leaves it.
    """
    if threads:
        os.environ.update(thread_variables(threads))
        threadpool_limits(threads)
    # Threads that wait for each other sleep: on a shared node spinning takes the cores of others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def numeric_threads(environment: Mapping[str, str] | None = None) -> int:
    """Return how many threads numerics use in this process; 0 where nothing says so.

    Parameters
    ----------
    environment
        By default that of this process. OpenMP's variable holds for the others that are not set.
    """
    known = os.environ if environment is None else environment
    first = known.get(_VARIABLES[0], "")
    values = {known.get(name, first) for name in _VARIABLES}
    return int(first) if first.isascii() and first.isdigit() and len(values) == 1 else 0
