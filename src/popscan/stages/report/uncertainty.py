"""Section of the report on how sure and how wrong the segmentation is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from popscan.config import Biomarkers, Report, Share
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.report.sections.common import Options
from popscan.scored import FAILED, counted
from popscan.study.tables import read_table

#: Expected Dice below this asks for a look.
LOW_DICE = 0.7
_KINDS = ("correct_pct", "flipped_pct", "missed_pct", "spurious_pct", "taken_pct")


def uncertainty_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show uncertainty by structure, widths of intervals, kinds of error, references that differ.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    config
        The whole config.
    """
    segmentation = read_table(study_root, "segmentation")
    protocol = protocol_of(config)
    names = list(protocol.labels.codes)
    if f"flip_risk_{names[0]}" not in segmentation:
        return None
    scores = read_table(study_root, "scores")
    checks = read_table(study_root, "reference_checks")
    tables = [
        ("Uncertainty of the segmentation: medians over subjects.", doubt(segmentation, names))
    ]
    widths = interval_widths(
        read_table(study_root, "biomarkers"), list(protocol.biomarkers.limits())
    )
    if len(widths):
        tables.append(("Half-widths of the intervals: medians over subjects.", widths))
    kinds = kinds_of_error(scores)
    if len(kinds):
        tables.append(
            (
                "Errors by kind, mean over subjects and frames: shares of the reference's "
                "voxels (correct, flipped, missed) and of the labelled ones (spurious, taken).",
                kinds,
            )
        )
    level = Biomarkers.of(config, or_defaults=True).interval_level
    masked = Options(
        share=True,
        minimum=Report.of(config, or_defaults=True).min_cell,
        rounding=Share.of(config, or_defaults=True).rounding,
    )
    return Extra(
        ident="segmentation-uncertainty",
        title="Uncertainty of the segmentation",
        lead="The model's expected Dice and, where there are references, its errors.",
        sentences=[
            *dice_sentences(segmentation, names, Options()),
            *training_sentences(segmentation, Options()),
            *reference_sentences(scores, Options(), checks),
        ],
        shared_sentences=[
            *dice_sentences(segmentation, names, masked),
            *training_sentences(segmentation, masked),
            *reference_sentences(scores, masked, checks),
        ],
        tables=tables,
        notes=[
            "Flip-risk is the doubt of which structure a voxel is, given that it is one. Spread is "
            "that of the samples' volumes (members, flips, dropout).",
            f"Intervals are meant to hold the expert's value of {100 * level:.0f}% of subjects "
            "like those that the model was calibrated on; on other scanners they are too narrow.",
        ],
        shared=True,
    )


def doubt(segmentation: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return medians of the uncertainty by structure; columns that are nowhere known are left out.

    Parameters
    ----------
    segmentation
        The table of this name.
    names
        Structures.
    """
    rows = []
    for name in names:
        columns = {
            "expected_dice": f"expected_dice_{name}",
            "expected_dice_lowest": f"expected_dice_{name}_lowest",
            "entropy_nats": f"mean_entropy_{name}",
            "information_nats": f"mean_information_{name}",
            "flip_risk": f"flip_risk_{name}",
            "volume_spread_pct": f"volume_spread_{name}_pct",
        }
        medians = {k: segmentation[c].median() for k, c in columns.items() if c in segmentation}
        n = int(segmentation[f"flip_risk_{name}"].notna().sum())
        rows.append({"structure": name, "n": n, **medians})
    return pd.DataFrame(rows).dropna(axis=1, how="all")


def interval_widths(biomarkers: pd.DataFrame, limits: Sequence[str]) -> pd.DataFrame:
    """Return the median half-width of every interval that the study has.

    Parameters
    ----------
    biomarkers
        The table of this name.
    limits
        Columns of the intervals' ends, and what else the protocol declares with them; ends of what
        is no biomarker (a second interval of one) are left to the protocol's own section.
    """
    rows = []
    for low in limits:
        stem, end, unit = low.rpartition("_low_")
        name, high = f"{stem}_{unit}", f"{stem}_high_{unit}"
        if not end or not {low, name} <= set(biomarkers) or not biomarkers[low].notna().any():
            continue
        half = (biomarkers[high] - biomarkers[low]) / 2
        known = half.notna()
        rows.append(
            {
                "biomarker": name,
                "n": int(known.sum()),
                "median": biomarkers.loc[known, name].median(),
                "half_width": half.median(),
            }
        )
    return pd.DataFrame(rows)


def kinds_of_error(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean shares of the kinds of error by structure, of the subjects that count.

    Parameters
    ----------
    scores
        The table of this name.
    """
    if "flipped_pct" not in scores:
        return pd.DataFrame()
    grouped = counted(scores).groupby("structure", sort=False)
    table = grouped[list(_KINDS)].mean()
    table.insert(0, "n", grouped["unit"].nunique())
    return table.reset_index()


def dice_sentences(segmentation: pd.DataFrame, names: Sequence[str], options: Options) -> list[str]:
    """Return how many subjects are expected to have a poor segmentation.

    Parameters
    ----------
    segmentation
        The table of this name.
    names
        Structures.
    options
        How counts are written.
    """
    columns = [f"expected_dice_{name}_lowest" for name in names]
    if not set(columns) <= set(segmentation) or not segmentation[columns].notna().any().any():
        return ["The model bundle is not calibrated: no expected Dice and no intervals."]
    lowest = segmentation[columns].min(axis=1)
    low = int((lowest < LOW_DICE).sum())
    return [
        f"In {options.count(low)} of {options.count(int(lowest.notna().sum()))} subjects some "
        f"structure is expected to have a Dice below {LOW_DICE} in some frame."
    ]


def training_sentences(segmentation: pd.DataFrame, options: Options) -> list[str]:
    """Return how many scans are unlike those of the training, and how many are among them.

    Parameters
    ----------
    segmentation
        The table of this name.
    options
        How counts are written.
    """
    n = options.count(len(segmentation))
    lines = []
    score = pd.to_numeric(segmentation.get("ood_score", pd.Series(dtype=float)), errors="coerce")
    if (odd := int((score > 1).sum())) > 0:
        lines.append(
            f"The scans of {options.count(odd)} of {n} subjects are unlike all training scans of "
            "the model (out-of-distribution score above 1): their intervals are wider, and how "
            "good their segmentation is cannot be taken from the model's own scores."
        )
    by = segmentation.get("seen_by", pd.Series(dtype=str)).fillna("").astype(str)
    if (known := int((by == "images").sum())) > 0:
        lines.append(
            f"The scans of {options.count(known)} of {n} subjects are among those that the model "
            "was trained on, recognised by their images: they are kept apart from others."
        )
    if (named := int((by == "name, other images").sum())) > 0:
        lines.append(
            f"{options.count(named)} of {n} subjects have the name of a training subject and other "
            "images: they count as new."
        )
    return lines


def _code_sentences(checks: pd.DataFrame | None, options: Options) -> list[str]:
    """Return how many references look coded otherwise, with the key that most of them call for."""
    if checks is None or not {"check", "verdict", "message"} <= set(checks):
        return []
    rows = checks[
        (checks["check"] == "reference_coding_gain") & checks["verdict"].isin(["review", FAILED])
    ]
    keys = rows["message"].str.extract(r"(source\.label_codes: \{[^}]*\})")[0].dropna()
    if keys.empty:
        return []
    return [
        f"The codes of {options.plural(len(rows), 'reference')} fit the segmentation better "
        f"exchanged; most often {keys.mode().iloc[0]} would recode them."
    ]


def reference_sentences(
    scores: pd.DataFrame, options: Options, checks: pd.DataFrame | None = None
) -> list[str]:
    """Return how many references do not fit their image, or disagree with the segmentation.

    Where all that speaks against a reference is the segmentation, either of the two may be wrong.

    Parameters
    ----------
    scores
        The table of this name.
    options
        How counts are written.
    checks
        The table ``reference_checks``; without it every doubt is taken to be the image's.
    """
    if "reference_verdict" not in scores:
        return []
    verdicts = scores.drop_duplicates("unit").set_index("unit")["reference_verdict"]
    doubted = set(verdicts.index[verdicts.isin(["review", "fail"])])
    disagree: set[str] = set()
    if checks is not None and {"unit", "check", "verdict"} <= set(checks):
        bad = checks[checks["verdict"].isin(["review", "fail"])]
        only = bad["check"].str.startswith("reference_dice_").groupby(bad["unit"]).all()
        disagree = doubted & set(only.index[only])
    n = options.count(len(verdicts))
    failed = set(verdicts.index[verdicts == FAILED]) - disagree
    unsure = doubted - disagree - failed
    lines = []
    if failed:
        lines.append(
            f"The references of {options.count(len(failed))} of {n} subjects do not fit their "
            "image: they enter no mean (table reference_checks)."
        )
    if unsure:
        lines.append(
            f"The references of {options.count(len(unsure))} of {n} subjects may not fit their "
            "image: their scores say little (table reference_checks)."
        )
    lines += _code_sentences(checks, options)
    if disagree:
        lines.append(
            f"In {options.count(len(disagree))} of {n} subjects the reference fits its image but "
            "disagrees with the segmentation: most likely the segmentation failed, and the scores "
            "stand (table reference_checks)."
        )
    return lines
