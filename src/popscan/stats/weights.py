"""Weights of the Poisson bootstrap, block after block of draws."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

#: Elements of one block of weights: 16 M float32 are 64 MB.
_BLOCK = 16_000_000


def blocks(n_boot: int, n: int) -> Iterator[int]:
    """Sizes of successive blocks of draws; they depend on n alone, so do the draws."""
    size = max(1, min(n_boot, _BLOCK // max(n, 1)))
    for start in range(0, n_boot, size):
        yield min(size, n_boot - start)


@lru_cache(maxsize=1)
def _weight_table() -> NDArray[np.float32]:
    """65,536 equally likely weights that follow a Poisson law with mean and variance 1.

    Counts per weight are the Poisson probabilities rounded to 2**-16; weights 0, 1 and 2 absorb
    what rounding leaves, such that total, mean and variance are exact.
    """
    size = 1 << 16
    values = np.arange(9)
    counts = np.rint(stats.poisson.pmf(values, 1.0) * size).astype(np.int64)
    rest = slice(3, None)
    total = size - counts[rest].sum()
    first = size - (counts * values)[rest].sum()
    second = 2 * size - (counts * values**2)[rest].sum()
    twos = (second - first) // 2
    ones = first - 2 * twos
    counts[:3] = [total - ones - twos, ones, twos]
    return np.repeat(values.astype(np.float32), counts)


def unit_weights(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Independent Poisson(1) weights, two bytes of randomness each."""
    bits = rng.integers(0, 1 << 16, size=shape, dtype=np.uint16)
    return _weight_table()[bits]
