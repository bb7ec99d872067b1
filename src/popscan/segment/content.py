"""Whether a scan is one that a model was trained on, by its images rather than its name.

Each slice is reduced to a coarse pattern, its bits are scattered over bands, and each band is
hashed with the bundle's salt to four bytes. A slice is recognised where several bands agree. The
pattern does not change with names, headers, the type of the numbers, a positive scaling and offset
of the intensities, mirroring, or the order of axes, slices and frames; it survives resampling of
the same field of view as a rule, and a margin of one value. Cropping, another contrast and noise
that can be seen make a slice another one. A bundle keeps 32 bytes of a slice, of which no image can
be made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.intensity import content_box

#: Fields of the coarse pattern along a side, bands of its bits, and how many of them must agree.
_SIDE, _BANDS, _AGREE = 16, 8, 3
#: Difference of two fields that counts, of the range of all of a slice.
_STEP = 0.01
#: Share of the slices of a frame that makes a scan a known one, and the least number.
_SHARE, _FEWEST = 0.3, 2
#: Share of the stated training slices that must have digests.
_WHOLE = 0.9

Digests = NDArray[np.uint32]
#: Name of the digests among the arrays of a bundle's ``training.safetensors``.
ARRAY = "content.digests"


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """Whether a model was trained on a scan.

    Attributes
    ----------
    seen
        It was, as far as is known.
    by
        ``images``, ``name`` (of a bundle without digests of all its images), ``name, other
        images`` (not seen: a stranger of the same name) or nothing.
    """

    seen: bool = False
    by: str = ""

    def row(self) -> dict[str, bool | str]:
        """Return the columns of the table of segmentations."""
        return {"seen_in_training": self.seen, "seen_by": self.by}


def familiarity(
    array: NDArray[np.generic],
    *,
    named: bool,
    digests: Digests | None,
    salt: str,
    whole: bool = True,
) -> Familiarity:
    """Return whether a scan was trained on: its images decide where their digests are known.

    Parameters
    ----------
    array
        Intensities (x, y, z, t).
    named
        Whether the model was trained on a subject of this name.
    digests
        Of the training images; None where a bundle has none.
    salt
        Of the bundle.
    whole
        Whether there are digests of all training images. If not, who has the name of a training
        subject counts as seen, whatever the images.
    """
    if digests is not None and KnownImages(digests=digests, salt=salt).holds(array):
        return Familiarity(seen=True, by="images")
    if digests is None or not whole:
        return Familiarity(seen=named, by="name" if named else "")
    return Familiarity(by="name, other images" if named else "")


def are_whole(digests: Digests | None, training: Mapping[str, Any]) -> bool:
    """Return whether a bundle has digests of all its training images, as far as it states them.

    Parameters
    ----------
    digests
        Of the bundle; None where it has none.
    training
        Section of that name of its ``model.yaml``: slices by pack, recipes. Packs with something
        painted into the slices of another one (``PACK+SUFFIX``) do not count; of scans that were
        mirrored half of the slices do.

    Returns
    -------
    bool
        True if there are nine tenths as many as the largest pack has slices (blank slices have no
        digest); True, too, where nothing is stated.
    """
    if digests is None:
        return False
    packs = [p for p in training.get("data") or () if "+" not in str(p.get("pack", ""))]
    stated = max((int(p.get("slices", 0)) for p in packs), default=0)
    copies = 2 if any(recipe.get("mirror") for recipe in training.get("recipes") or ()) else 1
    return copies * len(digests) >= _WHOLE * stated


@dataclass(frozen=True, kw_only=True)
class KnownImages:
    """The images that a model was trained on, as digests.

    Attributes
    ----------
    digests : ndarray of uint32, shape (slice, band)
    salt
        What was hashed with them.
    """

    digests: Digests
    salt: str

    def share(self, array: NDArray[np.generic]) -> float:
        """Return the largest share of a frame's slices that are known.

        Parameters
        ----------
        array
            Intensities (x, y, z, t). Slices without any contrast do not count.

        Returns
        -------
        float
            0 where fewer than two slices are known (or fewer than all, of a stack of one).
        """
        best = 0.0
        for t in range(array.shape[3]):
            own = digests_of(array[..., t : t + 1], salt=self.salt, orientations=8)
            if not len(own):
                continue
            agree = np.zeros(own.shape[:2], np.int64)
            for band in range(_BANDS):
                agree += np.isin(own[:, :, band], self.digests[:, band])
            known = int((agree >= _AGREE).any(axis=1).sum())
            if known >= min(_FEWEST, len(own)):
                best = max(best, known / len(own))
        return best

    def holds(self, array: NDArray[np.generic]) -> bool:
        """Return whether a scan (x, y, z, t) is one of them."""
        return self.share(array) >= _SHARE


def digests_of(
    array: NDArray[np.generic],
    *,
    salt: str,
    frames: Sequence[int] | None = None,
    orientations: int = 1,
) -> Digests:
    """Return the digests of all slices that show something.

    Parameters
    ----------
    array
        Intensities (x, y, z, t).
    salt
        Of the bundle.
    frames
        Frames to look at; all by default.
    orientations
        1 as the scan lies; 8 for every mirroring and order of the two axes.

    Returns
    -------
    ndarray of uint32, shape (slice, orientation, band); without the middle axis for one.
    """
    chosen = array if frames is None else array[..., list(frames)]
    fields = _fields(chosen[content_box(chosen)[:2]])  # not what a program put around it
    fields = fields[np.ptp(fields, axis=(1, 2)) > 0]
    key = hashlib.sha256(salt.encode()).digest()
    found = np.zeros((len(fields), orientations, _BANDS), np.uint32)
    for number in range(orientations):
        turned = fields.swapaxes(1, 2) if number & 4 else fields
        turned = turned[:, ::-1] if number & 1 else turned
        turned = turned[:, :, ::-1] if number & 2 else turned
        found[:, number] = _hashed(_bits(turned), key)
    return found[:, 0] if orientations == 1 else found


def _fields(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the means of 16 x 16 equal fields of every slice, (slice, 16, 16)."""
    across, along = _weights(array.shape[0]), _weights(array.shape[1])
    stack = np.moveaxis(array, (0, 1), (2, 3)).reshape(-1, *array.shape[:2])
    return across @ stack.astype(np.float64) @ along.T


def _weights(n: int) -> NDArray[np.float64]:
    """Return how much each of n pixels counts in each of 16 equal fields, shape (16, n)."""
    edges = np.linspace(0.0, n, _SIDE + 1)
    pixels = np.arange(n)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(overlap, 0.0, None) * (_SIDE / n)


def _bits(fields: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each field is clearly brighter than its neighbours, (slice, bit)."""
    step = _STEP * np.ptp(fields, axis=(1, 2), keepdims=True)
    pairs = (fields[:, :-1] - fields[:, 1:] > step, fields[:, :, :-1] - fields[:, :, 1:] > step)
    return np.concatenate(
        [part.reshape(len(part), part.shape[1] * part.shape[2]) for part in pairs], axis=1
    )


def _hashed(bits: NDArray[np.bool_], key: bytes) -> Digests:
    """Return a salted hash of each band of the bits, (slice, band)."""
    order = np.random.default_rng(0).permutation(bits.shape[1])
    bands = np.array_split(order, _BANDS)
    found = np.empty((len(bits), _BANDS), np.uint32)
    for b, chosen in enumerate(bands):
        packed = np.packbits(bits[:, chosen], axis=1)
        for i, row in enumerate(packed):
            digest = hashlib.blake2b(bytes([b]) + row.tobytes(), key=key, digest_size=4).digest()
            found[i, b] = int.from_bytes(digest, "little")
    return found
