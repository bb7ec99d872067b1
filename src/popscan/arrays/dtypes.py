"""The two number types in which images are kept: int16 where the values fit, float32 elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def image_dtype(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` as int16 or float32, whichever keeps its values.

    int16 and float32 are returned as they are; other integers (and booleans) become int16 if every
    value fits and float32 if not; other floats become float32.

    Raises
    ------
    TypeError
        For complex, structured or other types that are not an image.
    """
    if array.dtype in (np.dtype(np.int16), np.dtype(np.float32)):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{array.dtype} is not a type of image values")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is beyond float32 becomes inf, which checks refuse
            return array.astype(np.float32)
    limits = np.iinfo(np.int16)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        return array.astype(np.float32)
    return array.astype(np.int16)
