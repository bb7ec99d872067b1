"""How models of short-axis cines are measured, described and calibrated."""

from __future__ import annotations

from pathlib import Path

from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training import atria, effusion
from popscan.protocols.cine_sax.training.calibrate import calibrate_cases
from popscan.protocols.cine_sax.training.evaluate import input_range, measure, score_cases
from popscan.train.kind import ModelKind

KIND = ModelKind(
    measure=measure,
    ranges=input_range,
    card=Path(__file__).parent / "card.md.j2",
    score=score_cases,
    segmenter=segment,
    painters={effusion.SUFFIX: effusion.paint_effusions, atria.SUFFIX: atria.paint_atria},
    calibrate=calibrate_cases,
)
