"""Features of one subject, and the slices in which the networks see its organ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from popscan.config import Segment
from popscan.config.analyses import ORGAN
from popscan.protocol import CropFrame, Protocol
from popscan.protocol import load as load_place
from popscan.records import PopscanError, Scan, Subject, SubjectError
from popscan.register.crops import CropGrid, crop
from popscan.register.frames import Frame
from popscan.stages.segment.bundles import load_networks
from popscan.study.context import ShardContext
from popscan.study.phases import phases_of
from popscan.visibility.features import ALONG_MM, INPLANE_MM

if TYPE_CHECKING:
    import torch

    from popscan.arrays.resampling import WindowedGrid
    from popscan.segment.bundle import Bundle


#: Voxel sizes of the grid around the organ.
_GRID = {"inplane_mm": INPLANE_MM, "along_mm": ALONG_MM}


def organ_grid(protocol: Protocol) -> CropGrid:
    """Return the grid of all features around the organ.

    Raises
    ------
    PopscanError
        If the protocol does not say where its organ is (`Protocol.crops`).
    """
    grid: CropGrid = load_place(crops_of(protocol).grid)(**_GRID)
    return grid


def organ_pose(protocol: Protocol, labels: NDArray[np.uint8], scan: Scan) -> Frame:
    """Return where a subject's organ is, from the labels of one frame.

    Raises
    ------
    SubjectError
        Where they are too poor for it.
    """
    pose: Frame = load_place(crops_of(protocol).frame)(labels, spacing_mm=scan.spacing_mm)
    return pose


def crops_of(protocol: Protocol) -> CropFrame:
    """Return what a protocol says of where its organ is; refuse one that says nothing."""
    if protocol.crops is None:
        raise PopscanError(f"visibility: protocol {protocol.name} declares no crops")
    return protocol.crops


def first_phase(
    context: ShardContext, subject: Subject
) -> tuple[Scan, NDArray[np.generic], NDArray[np.uint8]]:
    """Read a subject's scan, and image and labels of its first phase, (x, y, z)."""
    from popscan.io.nifti import read_labels, read_scan

    scan = read_scan(
        context.path(context.image_stage(subject), subject, context.names.image(subject))
    )
    labels = read_labels(context.path("segment", subject, context.names.labels(subject)))
    frame = next(iter(phases_of(scan, labels, context.protocol).values()))
    return scan, scan.array[..., frame], labels.array[..., frame]


def subject_features(
    context: ShardContext, subject: Subject, names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return a subject's features, by source.

    Raises
    ------
    SubjectError
        Where there is no organ to look at.
    """
    from popscan.visibility import features

    scan, image, labels = first_phase(context, subject)
    protocol = context.protocol
    codes = list(protocol.labels.codes.values())
    placed = crop(
        image,
        labels,
        spacing_mm=scan.spacing_mm,
        grid=organ_grid(protocol),
        frame=organ_pose(protocol, labels, scan),
        codes=[0, *sorted(codes)],
    )
    made: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name == "labels":
            made[name] = features.label_features(placed, codes)
        elif name in ORGAN:
            made[name] = features.organ_features(placed)
        elif name == "image":
            made[name] = features.image_features(image, spacing_mm=scan.spacing_mm)
        else:
            made[name] = _latent(context, scan, image, labels)
    return made


def _latent(
    context: ShardContext, scan: Scan, image: NDArray[np.generic], labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Latent features of all members of the segmentation model, one after the other."""
    from popscan.segment.networks import seen_by
    from popscan.visibility.latent import latent_features

    section = context.section(Segment)
    bundle = load_networks(section.model, section.device)
    images, _, _ = organ_slices(scan, image, labels, bundle)
    parts = []
    for network, arguments in zip(bundle.networks, bundle.arguments, strict=True):
        parts.append(latent_features(network, seen_by(images, arguments)))
    return np.concatenate(parts)


def organ_slices(
    scan: Scan, image: NDArray[np.generic], labels: NDArray[np.uint8], bundle: Bundle
) -> tuple[torch.Tensor, WindowedGrid, list[int]]:
    """Cut the slices that hold labels as the networks see them, around what is segmented.

    Parameters
    ----------
    scan
        For affine and spacing.
    image, labels : ndarray, shape (x, y, z)
        One frame and its segmentation.
    bundle
        The segmentation model.

    Returns
    -------
    images : torch.Tensor
        The slices with what is seen around them: `popscan.segment.grids.Grids.cut`.
    window
        Back to the scan's pixels: `popscan.arrays.resampling.WindowedGrid`.
    slices : list of int
        Which slices of the stack they are.

    Raises
    ------
    SubjectError
        ``nothing_labelled`` if nothing is labelled.
    """
    from popscan.arrays.resampling import Window
    from popscan.segment.grids import Grids

    held = np.argwhere(labels > 0)
    if not len(held):
        raise SubjectError("nothing_labelled", "nothing is labelled")
    grids = Grids(replace(scan, array=np.asarray(image)[..., np.newaxis]), bundle)
    grids.upload()
    scale = np.asarray(grids.inner) / np.asarray(grids.shape)
    centre = (held[:, :2].mean(axis=0) + 0.5) * scale - 0.5
    side = -(-bundle.patch // grids.multiple) * grids.multiple
    window = grids.through(Window.around((centre[0], centre[1]), (side, side)))
    slices = sorted({int(z) for z in held[:, 2]})
    return grids.cut(slices, window), window, slices
