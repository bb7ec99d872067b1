"""Uncertainty along the pipeline: what segment writes of it and what biomarkers reads.

Segment leaves one small JSON file per subject: the volumes of every sample in every frame, and what
the model bundle knows of its own errors. Biomarkers turns them into intervals, without loading a
model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.widening import stored_widening
from popscan.protocol import Protocol
from popscan.records import Scan, Subject
from popscan.segment.labelled import Labelled
from popscan.study.context import ShardContext
from popscan.study.files import FileNames

if TYPE_CHECKING:
    from popscan.config import Segment
    from popscan.segment.bundle import Bundle
    from popscan.segment.ensemble import Flips
    from popscan.segment.result import Segmentation
    from popscan.stages.segment.bundles import NoModel


def uncertainty_files(
    names: FileNames,
    subject: Subject,
    labelled: Segmentation | Labelled,
    scan: Scan,
    *,
    bundle: Bundle | NoModel,
    section: Segment,
) -> dict[str, object]:
    """Return what segment writes beside the labels.

    Parameters
    ----------
    names
        Names of files and structures.
    subject, scan
        Whose, and what was segmented.
    labelled
        What came of it.
    bundle
        What segmented.
    section
        Config section ``segment``.
    """
    if isinstance(labelled, Labelled) or labelled.tally is None:
        return {}
    files: dict[str, object] = {
        names.samples(subject): samples_of(
            labelled, scan, protocol=names.protocol, bundle=bundle, section=section
        )
    }
    if section.uncertainty_maps:
        maps = {"entropy": labelled.entropy, "information": labelled.information}
        for kind, values in maps.items():
            if values is None:
                continue
            meta = {"unit": "nats"}
            files[names.uncertainty(subject, kind)] = replace(
                scan, array=values.astype(np.float32), meta=meta
            )
    return files


def samples_of(
    labelled: Segmentation | Labelled,
    scan: Scan,
    *,
    protocol: Protocol,
    bundle: Bundle | NoModel,
    section: Segment,
) -> dict[str, object]:
    """Return what intervals are made of: the samples' volumes, and the bundle's own errors.

    Parameters
    ----------
    labelled, scan
        A segmentation, and what was segmented.
    protocol, bundle, section
        How.

    Returns
    -------
    dict
        As `read_samples` returns it; empty where labels are no network's.
    """
    if isinstance(labelled, Labelled) or labelled.tally is None:
        return {}
    frames = labelled.tally.by_frame(scan.array.shape[2])
    voxel_ml = labelled.tally.pixel_mm2 * scan.spacing_mm[2] / 1000.0
    measured = {name: np.round(values, 3) for name, values in labelled.sampled.items()}
    return {
        **({"sampled": measured} if measured else {}),
        "samples": list(labelled.tally.samples),
        "volumes_ml": {
            name: np.round(frames.volumes[:, :, code] * voxel_ml, 3)
            for code, name in protocol.labels.names.items()
        },
        "calibration": matching(
            bundle.about.get("intervals", ()),
            flips=section.flips,
            dropout_samples=section.dropout_samples,
        ),
        "base": base_doubt(labelled, scan),
        "widening": stored_widening(
            bundle.about.get("widening"), float(labelled.values.get("ood_score", math.nan))
        ),
    }


def base_doubt(labelled: Segmentation, scan: Scan) -> dict[str, dict[str, NDArray[np.floating]]]:
    """Return the mL of every structure in doubtful basal slices of each frame.

    ``kept`` and ``removed``, and ``beyond`` where the stack seems to end too early. Empty where
    segmentation did not decide where the structures end.
    """
    if labelled.base is None:
        return {}
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000.0
    return {
        side: {name: np.round(curve * voxel_ml, 3) for name, curve in curves.items()}
        for side, curves in (
            ("kept", labelled.base.kept),
            ("removed", labelled.base.removed),
            ("beyond", labelled.base.beyond),
        )
    }


def matching(
    intervals: Iterable[Mapping[str, Any]], *, flips: Flips, dropout_samples: int
) -> dict[str, dict[str, list[float]]]:
    """Return a bundle's calibration for the way in which a study segments.

    Spreads of other samples mean something else: where mirrorings and draws differ from those of
    the calibration, its errors are taken and its spreads left out. Without errors of mirroring
    doubtful slices those without mirrorings, which are larger, stand for them.

    Parameters
    ----------
    intervals
        Section ``intervals`` of a bundle: one entry per way of segmenting.
    flips, dropout_samples
        Of the study.

    Returns
    -------
    dict
        Column -> ``errors`` and ``spreads``; empty where the bundle was not calibrated.
    """
    entries = sorted(
        intervals,
        key=lambda e: (
            e["flips"] == flips,
            flips == "doubtful" and e["flips"] is False,
            e["dropout_samples"] == dropout_samples,
        ),
    )
    if not entries:
        return {}
    best = entries[-1]
    same = best["flips"] == flips and best["dropout_samples"] == dropout_samples
    return {
        name: {"errors": list(own["errors"]), "spreads": list(own["spreads"]) if same else []}
        for name, own in best["quantities"].items()
    }


def read_samples(context: ShardContext, subject: Subject) -> Mapping[str, object]:
    """Read what segment left of its samples; empty where a study's labels are from elsewhere."""
    from popscan.io.jsonfile import read_json

    name = context.names.samples(subject)
    if not context.has("segment", subject, name):
        return {}
    return read_json(context.path("segment", subject, name))
