"""How models of long-axis planes are measured and described."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.protocols.cine_lax.labels import LABELS
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.segmentation import measure_input, segment
from popscan.segment.bundle import Bundle
from popscan.segment.known import hash_identifier, subject_of
from popscan.segment.preprocess import normalise
from popscan.segment.proof import none_acquired
from popscan.segment.scores import score_segmentation
from popscan.train.kind import ModelKind
from popscan.train.packs import Case


def score_cases(cases: Iterable[Case], *, bundle: Bundle, **options: Any) -> pd.DataFrame:
    """Return one row per case, plane, frame and structure: Dice and distances in the plane.

    Parameters
    ----------
    cases
        Packed planes with labels.
    bundle
        What labels them.
    **options
        Of `segment`.
    """
    rows = []
    for case in cases:
        found = segment(case.scan, bundle=bundle, **options)
        for plane in planes_of(case.scan.meta, case.scan.array.shape):
            part = (slice(plane.shape[0]), slice(plane.shape[1]), slice(plane.index, None))
            one = (*part[:2], slice(plane.index, plane.index + 1))
            reference = type(case.labels)(
                array=case.labels.array[one], frames=case.labels.frames
            )  # fmt: skip
            steps = np.linalg.norm(plane.steps_mm, axis=0)
            for row in score_segmentation(
                case.unit, found.labels[one], reference,
                (float(steps[0]), float(steps[1]), float(case.scan.spacing_mm[2])),
                bundle=bundle, structures=LABELS.names,
            ):  # fmt: skip
                absent = row["reference_volume_ml"] == 0
                known = {} if not absent else {"dice": math.nan}
                rows.append({**row, **known, "view": plane.view, **case.attributes})
    return pd.DataFrame(rows)


def input_range(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Return the range of spacing and contrast of the training planes."""
    columns: dict[str, list[float]] = {}
    for case in cases:
        image = normalise(case.scan.array)
        for name, values in measure_input(case.scan, image, case.labels.array).items():
            columns.setdefault(name, []).extend(v for v in values if math.isfinite(v))
    # A twentieth of the greys is drawn beyond what scanners do: that is no range.
    low = {"blood_contrast": 5.0}
    return {
        name: [
            round(float(np.percentile(values, low.get(name, 0.0))), 3),
            round(float(np.percentile(values, 100.0)), 3),
        ]
        for name, values in columns.items()
        if values
    }


def measure(
    cases: Sequence[Case],
    *,
    bundle: Bundle,
    flips: bool,
    salt: str,
    stratum: str,
    name_validation: bool,
) -> dict[str, Any]:
    """Return a bundle's validation section; parameters as in `popscan.train.export`.

    ``simulated_only`` is false only where the attribute ``source`` of every case is ``acquired``,
    an outlined long-axis image of a scanner; otherwise the bundle warns with every result.
    """
    scores = score_cases(cases, bundle=bundle)
    subjects = sorted({subject_of(case.unit) for case in cases})
    named = [s for s in subjects if not s.startswith("train-simulated")]
    by_structure = [
        {
            "structure": str(name),
            "view": str(view),
            "dice_mean": round(float(part["dice"].mean()), 4),
            "dice_lowest": round(float(part["dice"].min()), 4),
            "hd95_mm": round(float(part["hd95_mm"].mean()), 2),
        }
        for (name, view), part in scores.dropna(subset=["dice"]).groupby(
            ["structure", "view"], sort=False
        )
        if not (view == "2ch" and name in ("rv", "ra"))
    ]
    by_stratum = [
        {
            "stratum": str(name),
            "subjects": int(part["unit"].nunique()),
            "dice_mean": round(_mean_dice(part), 4),
        }
        for name, part in (scores.groupby(stratum) if stratum in scores.columns else ())
    ]
    return {
        "validation": {
            "n_subjects": len(subjects),
            **({"subjects": named} if name_validation else {}),
            "sha256": sorted(hash_identifier(subject, salt=salt) for subject in subjects),
            "simulated_only": none_acquired(case.attributes for case in cases),
            "mean_dice": round(_mean_dice(scores), 4),
            "by_structure": by_structure,
            "by_stratum": by_stratum,
            "flips": False,
        }
    }


def _mean_dice(scores: pd.DataFrame) -> float:
    """Return the mean over structures and views that a reader outlines."""
    shown = scores[~((scores["view"] == "2ch") & scores["structure"].isin(("rv", "ra")))]
    return float(shown.groupby(["structure", "view"])["dice"].mean().mean())


#: How its models are measured and described.
KIND = ModelKind(
    measure=measure,
    ranges=input_range,
    card=Path(__file__).parent / "card.md.j2",
    score=score_cases,
    segmenter=segment,
    digests=False,
)
