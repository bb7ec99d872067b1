"""Uncertainty along the pipeline: what segment writes of it and what biomarkers reads.

Segment leaves one small JSON file per subject: the volumes of every sample in every frame, and what
the model bundle knows of its own errors. Biomarkers turns them into intervals, without loading a
model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from popscan.arrays.widening import stored_widening
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.records import Scan, Subject
from popscan.study.context import SAX, ShardContext


def samples_name(subject: Subject, view: str = SAX) -> str:
    """File name of the samples' volumes, BIDS-like."""
    return f"{subject.unit}_acq-{view}_desc-samples_volumes.json"


def map_name(subject: Subject, kind: str, view: str = SAX) -> str:
    """File name of an uncertainty map: ``entropy`` or ``information``, in nats."""
    return f"{subject.unit}_acq-{view}_desc-{kind}_uncertainty.nii.gz"


def uncertainty_files(
    subject: Subject, found: Any, scan: Scan, *, bundle: Any, section: Any
) -> dict[str, Any]:
    """Return what segment writes beside the labels.

    Parameters
    ----------
    subject, scan
        Whose, and what was segmented.
    found
        A `popscan.segment.Segmentation`.
    bundle
        What segmented.
    section
        Config section ``segment``.
    """
    frames = found.tally.by_frame(scan.array.shape[2])
    voxel_ml = found.tally.pixel_mm2 * scan.spacing_mm[2] / 1000.0
    files: dict[str, Any] = {
        samples_name(subject): {
            "samples": list(found.tally.samples),
            "volumes_ml": {
                name: np.round(frames.volumes[:, :, int(label)] * voxel_ml, 3)
                for label, name in STRUCTURES.items()
            },
            "calibration": matching(
                bundle.about.get("intervals", ()),
                flips=section.flips,
                dropout_samples=section.dropout_samples,
            ),
            "base": base_doubt(found, scan),
            "widening": stored_widening(
                bundle.about.get("widening"), float(found.values.get("ood_score", math.nan))
            ),
        }
    }
    if section.uncertainty_maps:
        maps = {"entropy": found.entropy, "information": found.information}
        for kind, values in maps.items():
            meta = {"unit": "nats"}
            files[map_name(subject, kind)] = replace(
                scan, array=values.astype(np.float32), meta=meta
            )
    return files


def base_doubt(found: Any, scan: Scan) -> dict[str, dict[str, Any]]:
    """Return the mL of every structure in doubtful basal slices of each frame, kept and removed.

    Empty where segmentation did not decide where the ventricle ends.
    """
    if found.base is None:
        return {}
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000.0
    return {
        side: {name: np.round(curve * voxel_ml, 3) for name, curve in curves.items()}
        for side, curves in (("kept", found.base.kept), ("removed", found.base.removed))
    }


def matching(intervals: Any, *, flips: bool, dropout_samples: int) -> dict[str, Any]:
    """Return a bundle's calibration for the way in which a study segments.

    Spreads of other samples mean something else: where mirrorings and draws differ from those of
    the calibration, its errors are taken and its spreads left out.

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
        key=lambda e: (e["flips"] == flips, e["dropout_samples"] == dropout_samples),
    )
    if not entries:
        return {}
    best = entries[-1]
    same = best["flips"] == flips and best["dropout_samples"] == dropout_samples
    return {
        name: {"errors": list(own["errors"]), "spreads": list(own["spreads"]) if same else []}
        for name, own in best["quantities"].items()
    }


def read_samples(context: ShardContext, subject: Subject) -> Mapping[str, Any]:
    """Read what segment left of its samples; empty where a study's labels are from elsewhere."""
    from popscan.io.jsonfile import read_json

    name = samples_name(subject)
    if not context.has("segment", subject, name):
        return {}
    return read_json(context.path("segment", subject, name))


def interval_values(
    values: Mapping[str, float], samples: Mapping[str, Any], *, section: Any
) -> dict[str, float]:
    """Return the ends of every interval, and what stands on doubtful slices.

    Parameters
    ----------
    values
        Biomarkers of a subject.
    samples
        As from `read_samples`.
    section
        Config section ``biomarkers``.
    """
    from popscan.protocols.cine_sax.biomarkers.doubt import doubtful_amounts, shifts
    from popscan.protocols.cine_sax.biomarkers.intervals import intervals, spreads

    own: dict[str, float] = {}
    ed, es = _frame(values["ed_frame"]), _frame(values["es_frame"])
    if samples:
        volumes = {k: np.asarray(v, dtype=float) for k, v in samples["volumes_ml"].items()}
        own = spreads(values, volumes, ed=ed, es=es)
    return intervals(
        values,
        own,
        samples.get("calibration", {}),
        level=section.interval_level,
        method=section.interval_method,
        shifts=shifts(values, samples.get("base", {}), ed=ed, es=es),
        widening=float(samples.get("widening", 1.0)),
    ) | doubtful_amounts(samples.get("base", {}), ed=ed, es=es)


def _frame(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
