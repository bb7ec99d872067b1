"""Names, numbers and units of the audit in words."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pandas as pd

from popscan.fairness.groups import MISSING
from popscan.protocols import own
from popscan.stats.design import UNITS

#: Printed beside every comparison by race or ethnicity.
CAUTION = (
    "Race and ethnicity are social categories as recorded by the study, not biological ones. A "
    "gap between such groups points to what differs around them (who was scanned, where, on which "
    "scanner, with which disease, and on whom the model was trained), and calls for that cause to "
    "be found; it must not be used to set different thresholds by race."
)
#: Attribute names that call for the caution.
SOCIAL = ("race", "ethnic", "ethnicity", "ethnic_id", "ethnic_group", "ancestry")

_NAMES = {
    "dice": "Dice", "hd95": "95% Hausdorff distance", "msd": "mean surface distance", "qc": "QC",
    "psnr": "PSNR", "ssim": "SSIM", "nrmse": "NRMSE", "hfen": "HFEN", "snr": "SNR", "cnr": "CNR",
    "abs": "absolute", "ood": "out-of-distribution",
    **{part: words for protocol in own() for part, words in protocol.words.parts.items()},
}  # fmt: skip
_PEOPLE = {"female": "women", "male": "men", MISSING: "those not recorded"}
#: Groups whose names stand before a noun, in lower case.
_ADJECTIVES = frozenset({
    "african", "american indian", "asian", "black", "caribbean", "chinese", "hispanic", "indian",
    "mixed", "white",
})  # fmt: skip
#: Stages as the place of a failure.
_STAGES = {
    "simulate": "simulation", "ingest": "ingestion", "reconstruct": "reconstruction",
    "segment": "segmentation", "score": "agreement with references", "qc": "quality control",
    "rca": "reverse classification accuracy",
}  # fmt: skip


def looked_for_first(n: int) -> list[str]:
    """Return the biomarkers that readers look for first, at most `n` of each protocol."""
    return [name for protocol in own() for name in protocol.words.first[:n]]


@cache
def largest_values() -> dict[str, float]:
    """Return the largest possible value of outcomes that have one, by their names without unit."""
    outcomes = (outcome for protocol in own() for outcome in protocol.outcomes)
    return {one.name.partition("_")[0]: one.most for one in outcomes if one.most < math.inf}


def is_social(attribute: str) -> bool:
    """Whether an attribute or intersection involves race or ethnicity.

    Parameters
    ----------
    attribute : str
        E.g. ``sex x race``.

    Returns
    -------
    bool
        True if any part of the name says so.
    """
    return any(
        part.strip().lower() in SOCIAL or part.strip().lower().startswith(("race", "ethnic"))
        for part in attribute.split(" x ")
    )


def outcome_name(outcome: str) -> str:
    """Return an outcome's name for people, e.g. ``absolute Dice`` for ``abs_dice``.

    Parameters
    ----------
    outcome : str
        Name in the tables.

    Returns
    -------
    str
        Words; units at the end are left to the numbers.
    """
    if outcome.endswith("_failed"):
        stage = outcome.removesuffix("_failed")
        return f"share that failed at {_STAGES.get(stage, stage.replace('_', ' '))}"
    if outcome.endswith("_covered"):
        return f"interval coverage of {outcome_name(outcome.removesuffix('_covered'))}"
    if outcome.endswith("_whole"):
        return f"{outcome_name(outcome.removesuffix('_whole'))}, whole image"
    bare, _ = _without_unit(outcome)
    words: list[str] = []
    before = ""
    for part in bare.split("_"):
        # "grey_matter", of which "grey" is already "grey matter".
        if not (words and words[-1] == part != before):
            words += _NAMES.get(part, part).split()
        before = part
    return " ".join(words)


def name_and_unit(outcome: str) -> tuple[str, str]:
    """Return an outcome's name for people and its unit with a space before it.

    Parameters
    ----------
    outcome : str
        Name in the tables, e.g. ``brain_ml``.

    Returns
    -------
    name, unit : str
        E.g. ``brain volume`` and `` mL``; the unit may be empty.
    """
    _, unit = _without_unit(outcome)
    return capital(outcome_name(outcome)), f" {unit}" if unit else ""


def _without_unit(outcome: str) -> tuple[str, str]:
    """Split ``hd95_mm_grey`` into ``hd95_grey`` and ``mm``; a percentage is given in points."""
    parts = outcome.split("_")
    for length in range(len(parts), 1, -1):
        head = "_".join(parts[:length])
        for ending in sorted(UNITS, key=len, reverse=True):
            if head.endswith(ending):
                unit = "percentage points" if UNITS[ending] == "%" else UNITS[ending]
                return "_".join([head.removesuffix(ending), *parts[length:]]), unit
    return outcome, ""


def people(group: str) -> str:
    """Return a group's name for people: ``female & Black`` becomes ``Black women``.

    Parameters
    ----------
    group : str
        Name in the tables.

    Returns
    -------
    str
        Words.
    """
    parts = group.split(" & ")
    nouns = [part for part in parts if part in ("female", "male")]
    others = [part for part in parts if part.lower() in _ADJECTIVES]
    if len(parts) == 2 and len(nouns) == len(others) == 1:
        return f"{others[0]} {_PEOPLE[nouns[0]]}"
    return " & ".join(_PEOPLE.get(part, part) for part in parts)


def gap_scale(row: pd.Series) -> tuple[float, str]:
    """Return factor and unit of a reported gap: percentage points for shares, points for Dice.

    Parameters
    ----------
    row : Series
        With ``outcome`` and ``kind``.

    Returns
    -------
    factor : float
        What the gap is multiplied with.
    unit : str
        With a space before it; empty without a unit.
    """
    outcome = str(row["outcome"])
    if row["kind"] == "binary":
        return 100.0, " percentage points"
    if outcome.startswith(("dice", "ssim")):
        return 100.0, " points"
    _, unit = _without_unit(outcome)
    return 1.0, f" {unit}" if unit else ""


def decimals(largest: float) -> int:
    """Return the decimals that leave two or three figures of the largest number of a sentence.

    Parameters
    ----------
    largest : float
        Largest absolute value.

    Returns
    -------
    int
        0..6.
    """
    if not np.isfinite(largest) or largest <= 0:
        return 2
    return int(np.clip(1 - np.floor(np.log10(largest)), 0, 6))


def p_text(p: float) -> str:
    """Return a p value with its sign of relation, e.g. ``= 0.031``."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def capital(text: str) -> str:
    """Return text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


_CONFOUNDERS = {
    "age_years": "age", "bsa_m2": "body surface area", "bmi_kg_m2": "body mass index",
    "height_cm": "height", "weight_kg": "weight", "field_strength_t": "field strength",
}  # fmt: skip


def adjusted_for(columns: str) -> str:
    """Return confounders for people: ``age_years, bsa_m2`` becomes ``age and body surface area``.

    Parameters
    ----------
    columns : str
        Names, separated by commas.
    """
    names = [
        _CONFOUNDERS.get(name, _without_unit(name)[0].replace("_", " "))
        for name in columns.split(", ")
    ]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def held_equal(columns: object) -> str:
    """Return what an adjusted gap holds equal, for people.

    Parameters
    ----------
    columns : object
        ``adjusted_for`` of a row: empty, or NaN as read from a file, where a mixed model has its
        random effect alone.
    """
    if isinstance(columns, str) and columns:
        return adjusted_for(columns)
    return "the random effect alone"
