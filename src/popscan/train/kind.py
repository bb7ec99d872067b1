"""Kinds of models: how those of one protocol are measured, described and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.protocol import load
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError
from popscan.segment.result import Segmentation
from popscan.train.packs import Case


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """How models of one protocol are measured and described.

    Attributes
    ----------
    measure
        ``(cases, *, bundle, flips, salt, stratum, name_validation)`` -> sections of model.yaml,
        ``validation`` at least.
    ranges
        Training cases -> the bundle's ``input_range``.
    card
        Template of the card.
    score
        ``(cases, *, bundle) -> table`` with the columns of `popscan.train.evaluate.mean_dice`, for
        validation during a training; None where there is none.
    segmenter
        What segments the training scans for the detector of scans that are unlike them, with the
        keywords ``bundle`` and ``features``; None stores no detector at the end of a training.
    digests
        Whether digests of the training images are stored, by which scans are recognised. Where
        training images were made out of a subject's other scans, its name says more.
    painters
        Suffix of a pack's name -> ``(cases) -> cases`` with something painted into them.
    calibrate
        ``(folder, cases, *, trained, dice, cross_fitted, progress) -> sentence``: fits temperature,
        intervals and expected Dice on cases that the model never saw; None where that is done
        at the end of the training.
    """

    measure: Callable[..., dict[str, Any]]
    ranges: Callable[[Sequence[Case]], dict[str, list[float]]]
    card: Path
    score: Callable[..., pd.DataFrame] | None = None
    segmenter: Callable[..., Segmentation] | None = None
    digests: bool = True
    painters: Mapping[str, Callable[[Sequence[Case]], list[Case]]] = field(default_factory=dict)
    calibrate: Callable[..., str] | None = None


def kind_of(protocol_name: str = "") -> ModelKind:
    """Return the kind of models of a protocol; empty for the default protocol.

    Raises
    ------
    PopscanError
        If there is no such protocol, or its models are not trained by popscan.
    """
    protocol = get_protocol(protocol_name or DEFAULT)
    if not protocol.segmentation.training:
        raise PopscanError(f"protocol {protocol.name}: its models are not trained by popscan")
    kind = load(protocol.segmentation.training)
    assert isinstance(kind, ModelKind)
    return kind
