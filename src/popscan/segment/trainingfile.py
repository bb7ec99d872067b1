"""What a bundle knows of its training scans: ``training.safetensors`` beside the weights.

Optional arrays by name, each written by a part of `popscan.train`: digests of the images
(`popscan.segment.content`), statistics of the network's features. ``model.yaml`` holds the file's
SHA-256 (``training_sha256``), so the bundle's digest covers it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from popscan.records import PopscanError
from popscan.yamlfile import read_yaml

#: Name of the file in a bundle's folder, and of its digest in ``model.yaml``.
TRAINING, KEY = "training.safetensors", "training_sha256"
#: Largest file that is read.
MAX_BYTES = 16 * 2**20

Arrays = Mapping[str, NDArray[Any]]


def read_training(folder: Path, sha256: str | None) -> dict[str, NDArray[Any]]:
    """Read the arrays of a bundle.

    Parameters
    ----------
    folder
        Of the bundle.
    sha256
        What ``model.yaml`` says; None where the bundle has no such file.

    Raises
    ------
    PopscanError
        If the file is missing, too large, altered or not safetensors.
    """
    if sha256 is None:
        return {}
    path = folder / TRAINING
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise PopscanError(f"{path}: {size} bytes; at most {MAX_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror or error})") from error
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise PopscanError(
            f"{path}: its SHA-256 is {found[:12]}..., model.yaml says {sha256[:12]}...; the file "
            "was changed or cut off"
        )
    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise PopscanError(f"{path}: not a safetensors file ({error})") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PopscanError(f"{path}: {name!r} holds numbers that are not finite")
    return arrays


def write_training(folder: Path, arrays: Arrays) -> None:
    """Add arrays to a bundle, in place of those of the same names, and note the new digest."""
    file = folder / "model.yaml"
    about = read_yaml(file)
    kept = read_training(folder, about.get(KEY))
    whole = {**kept, **{name: np.ascontiguousarray(array) for name, array in arrays.items()}}
    data = save({name: whole[name] for name in sorted(whole)})
    (folder / TRAINING).write_bytes(data)
    last = about.pop("weights_sha256")
    about |= {KEY: hashlib.sha256(data).hexdigest(), "weights_sha256": last}
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)
    file.write_text(text, encoding="utf-8")
