"""Predicted Dice by single-atlas label propagation onto reference cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.metrics import dice
from popscan.rca.references import Pose, Reference
from popscan.records import SubjectError
from popscan.register import (
    register_demons,
    register_rigid,
    resample_affine,
    warp_image,
)
from popscan.register.crops import Crop, CropGrid


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Predicted agreement of a segmentation with a reference that nobody drew.

    Attributes
    ----------
    dice
        Structure -> best Dice over the references; 0 where the segmentation lacks the structure.
    best
        Unit of the reference with the highest mean Dice; empty for an empty segmentation.
    similarity
        Correlation of the images after registration, for that reference.
    n_references
        References that the segmentation was carried to.
    """

    dice: dict[str, float]
    best: str
    similarity: float
    n_references: int

    def values(self) -> dict[str, Any]:
        """Return one flat row: ``predicted_dice`` (mean over structures) and each structure's."""
        each = {f"predicted_dice_{name}": value for name, value in self.dice.items()}
        return {
            "predicted_dice": float(np.mean(list(self.dice.values()))),
            **each,
            "best_reference": self.best,
            "similarity": self.similarity,
            "n_references": self.n_references,
        }


def predict_dice(
    image: NDArray[Any],
    labels: NDArray[np.uint8],
    references: Sequence[Reference],
    *,
    spacing_mm: tuple[float, float, float],
    grid: CropGrid,
    pose: Pose,
    n_registered: int = 4,
    n_iterations: Sequence[int] = (30, 10),
    smoothing_mm: float = 4.0,
    affine: bool = False,
) -> Prediction:
    """Predict the Dice of a segmentation from what it teaches about reference cases.

    The subject's image is registered, with its labels in tow, to the references that it resembles
    most; the labels themselves never steer a registration, or bad ones would be made to fit.

    Parameters
    ----------
    image, labels : ndarray, shape (x, y, z)
        One frame and its segmentation.
    references
        Of the same phase, on `grid`, without the subject itself; at least one.
    spacing_mm
        Voxel distances of the subject.
    grid
        The references' grid.
    pose
        Of the protocol: structures, and where the organ is.
    n_registered
        How many references the labels are carried to: those whose images correlate best.
    n_iterations, smoothing_mm
        Of `popscan.register.register_demons`.
    affine
        Register by an affine transform first: twice the time, for organs whose segmentation puts
        them far off.

    Returns
    -------
    Prediction
        All 0 where nothing is labelled.

    Raises
    ------
    SubjectError
        ``no_references``, or as `popscan.register.crops.crop`.
    """
    if not references:
        raise SubjectError("no_references", "there is no other reference case to compare with")
    if not (labels > 0).any():
        nothing = dict.fromkeys(pose.names.values(), 0.0)
        return Prediction(dice=nothing, best="", similarity=float("nan"), n_references=0)
    subject = _subject_crop(
        image, labels, references[0], spacing_mm=spacing_mm, grid=grid, pose=pose
    )
    likeness = [similarity(subject.image, r.crop.image) for r in references]
    order = sorted(range(len(references)), key=lambda i: -likeness[i])[:n_registered]
    found, after = [], []
    codes = np.array([0, *pose.names], dtype=np.uint8)
    for index in order:
        crop = references[index].crop
        moved, carried = _carried(
            crop, subject, grid, codes=codes, n_iterations=n_iterations,
            smoothing_mm=smoothing_mm, affine=affine,
        )  # fmt: skip
        scores = [np.nan_to_num(dice(carried, crop.labels, code)) for code in pose.names]
        found.append(scores)
        after.append(similarity(moved, crop.image))
    table = np.array(found, dtype=float)
    best = int(table.mean(axis=1).argmax())
    return Prediction(
        dice={n: float(v) for n, v in zip(pose.names.values(), table.max(axis=0), strict=True)},
        best=references[order[best]].unit,
        similarity=after[best],
        n_references=len(order),
    )


def similarity(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Correlation of two images; -1 where one is constant, so that it is chosen last."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else -1.0


def _subject_crop(
    image: NDArray[Any],
    labels: NDArray[np.uint8],
    like: Reference,
    *,
    spacing_mm: tuple[float, float, float],
    grid: CropGrid,
    pose: Pose,
) -> Crop:
    try:
        frame = pose.frame(labels, spacing_mm=spacing_mm)
    except SubjectError:
        # A segmentation without a structure is just what is to be judged.
        frame = pose.fallback(labels, spacing_mm=spacing_mm, like=like.frame)
    return pose.crop(image, labels, spacing_mm=spacing_mm, grid=grid, frame=frame)


def _carried(
    fixed: Crop,
    moving: Crop,
    grid: CropGrid,
    *,
    codes: NDArray[np.uint8],
    n_iterations: Sequence[int],
    smoothing_mm: float,
    affine: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and labels of `moving`, registered to `fixed`."""
    image = moving.image
    members = [(moving.labels == code).astype(np.float32) for code in codes]
    if affine:
        matrix = register_rigid(
            fixed.image,
            image,
            spacing_mm=grid.spacing_mm,
            kind="affine",
            initial=np.eye(4),
            shrink_factors=(2,),
            n_iterations=20,
        )

        def resampled(array: NDArray[np.float32]) -> NDArray[np.float32]:
            return resample_affine(
                array,
                matrix,
                spacing_mm=grid.spacing_mm,
                shape=grid.shape,
                output_spacing_mm=grid.spacing_mm,
            )

        image, members = resampled(image), [resampled(m) for m in members]
    field = register_demons(
        fixed.image,
        image,
        spacing_mm=grid.spacing_mm,
        n_iterations=n_iterations,
        smoothing_mm=smoothing_mm,
    )
    return (
        warp_image(image, field, spacing_mm=grid.spacing_mm),
        codes[_likeliest(members, field, grid)],
    )


def _likeliest(
    members: Sequence[NDArray[np.float32]], field: NDArray[Any], grid: CropGrid
) -> NDArray[np.intp]:
    """Index of the largest of the memberships at each voxel, the first of equal ones."""
    best = np.full(grid.shape, -np.inf, dtype=np.float32)
    index = np.zeros(grid.shape, dtype=np.intp)
    for i, member in enumerate(members):
        if not member.any():
            warped = np.zeros(grid.shape, dtype=np.float32)
        else:
            warped = warp_image(member, field, spacing_mm=grid.spacing_mm)
        larger = warped > best
        best[larger], index[larger] = warped[larger], i
    return index
