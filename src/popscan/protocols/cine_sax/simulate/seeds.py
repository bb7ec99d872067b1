"""Random generators that depend on a seed and on names, and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np


def rng_for(seed: int, *names: str) -> np.random.Generator:
    """Return a generator determined by `seed` and `names` (participant, purpose).

    Python's own ``hash`` differs between runs, so the names enter by SHA-256. Separate purposes
    get separate streams: another option for the noise leaves the anatomy as it was.

    Parameters
    ----------
    seed
        Seed of the study, not negative.
    *names
        Any words, e.g. ``"sub-0001", "noise"``.

    Returns
    -------
    numpy.random.Generator
        A fresh PCG64 generator.

    Examples
    --------
    >>> int(rng_for(1, "sub-0001", "noise").integers(2**31))
    1162401712
    """
    digest = hashlib.sha256("\x00".join(names).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4")[:4]
    return np.random.default_rng(np.random.SeedSequence([int(seed), *(int(w) for w in words)]))
