"""Every stage's outcomes in one long table: unit, stage, outcome, value, better_is, kind.

A unit that a stage never reached has no row; the audit counts it as missing and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import numpy as np
import pandas as pd

from popscan.fairness.coverage import covered, with_intervals
from popscan.fairness.outcome_parts import Part, joined, part_of, sorted_words
from popscan.scored import counted

#: Verdicts of QC; what could not be assessed has none.
_VERDICTS = ("pass", "review", "fail")
#: Ending or beginning of a score's name -> which way it is good.
_BETTER = {
    "dice": "higher", "ssim": "higher", "psnr": "higher", "hd95": "lower", "msd": "lower",
    "nrmse": "lower", "hfen": "lower", "entropy": "lower", "uncertainty": "lower", "error": "lower",
    "distance": "lower", "ood": "lower",
}  # fmt: skip


def outcomes_table(
    *,
    ledger: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
    recon_scores: pd.DataFrame | None = None,
    variant_scores: pd.DataFrame | None = None,
    scan_lengths: pd.DataFrame | None = None,
    line_rejection: pd.DataFrame | None = None,
    segmentation: pd.DataFrame | None = None,
    qc: pd.DataFrame | None = None,
    qc_checks: pd.DataFrame | None = None,
    biomarkers: pd.DataFrame | None = None,
    biomarker_columns: Sequence[str] = (),
    better: Mapping[str, str] | None = None,
    truth: pd.DataFrame | None = None,
    atlas: pd.DataFrame | None = None,
    analysed: pd.Series | None = None,
    final_stage: str = "biomarkers",
) -> pd.DataFrame:
    """Gather outcomes from the study's tables; each table may be absent or empty.

    Parameters
    ----------
    ledger : DataFrame
        unit, stage, status: gives ``<stage>_failed`` (1 failed, 0 ok or excluded) and, over the
        whole study, ``not_analysed``.
    scores : DataFrame
        unit, structure, and measures such as dice, hd95_mm: gives ``dice_NAME`` (mean over frames)
        and ``dice_mean``. With volume_ml and reference_volume_ml also ``NAME_missed`` (1 if the
        segmentation has nothing of a structure in a frame in which the reference has it), and
        distances are undefined for who misses a structure so: a mean of the other frames would
        leave out the worst. Only rows of `popscan.scored.counted` are used.
    recon_scores : DataFrame
        unit, measures such as psnr_db, ssim, and optionally variant.
    variant_scores : DataFrame
        unit, variant, dice_mean and signed errors such as brain_ml_error: gives
        ``dice_mean_by_NAME`` and ``brain_ml_abs_error_by_NAME`` for every variant.
    scan_lengths : DataFrame
        unit, scan_seconds and signed errors against the full length: gives ``scan_seconds`` and
        ``brain_ml_abs_error_by_stopping``.
    line_rejection : DataFrame
        unit, lines_found_pct: gives ``lines_found_pct``, the share of k-space in the wrong phase.
    segmentation : DataFrame
        unit and numbers of the segmentation; those on uncertainty are used.
    qc : DataFrame
        unit, verdict: gives ``qc_fail`` and ``qc_not_pass``.
    qc_checks : DataFrame
        unit, check, verdict: gives ``check_<name>`` (1 unless pass).
    biomarkers : DataFrame
        unit and `biomarker_columns`.
    biomarker_columns : sequence of str
        Columns of `biomarkers` to compare.
    better : mapping, optional
        Biomarker -> ``higher`` or ``lower``; of others neither direction is better.
    truth : DataFrame
        unit and true or reference biomarkers (``brain_ml`` or ``truth_brain_ml``): gives
        ``brain_ml_error`` (neither), ``brain_ml_abs_error`` (lower) and, for biomarkers with an
        interval, ``brain_ml_covered`` (1 where it holds the reference).
    atlas : DataFrame
        unit and distances to the atlas; of the distance to other groups neither direction is
        better.
    analysed : Series of bool, optional
        By unit: who is in the study's analyses, QC and overrides counted; units that it lacks are
        not. By default those whose `final_stage` is ok.
    final_stage : str
        Stage that a unit must pass to count as analysed where `analysed` is not given.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`; empty without tables.
    """
    parts: list[Part] = []
    if _has(ledger, "unit", "stage", "status"):
        parts += _statuses(ledger, final_stage, analysed)
    if _has(recon_scores, "unit"):
        parts += _measured(_by_variant(recon_scores), "reconstruct")
    if _has(variant_scores, "unit", "variant"):
        parts += _variants(variant_scores)
    if _has(scan_lengths, "unit", "scan_seconds"):
        seconds = scan_lengths["scan_seconds"].astype(float)
        parts.append(
            part_of(scan_lengths["unit"], "stopping", "scan_seconds", seconds, kind="continuous")
        )
        parts += _variants(scan_lengths.assign(variant="stopping"), stage="stopping")
    if _has(line_rejection, "unit", "lines_found_pct"):
        share = line_rejection["lines_found_pct"].astype(float)
        parts.append(
            part_of(line_rejection["unit"], "reconstruct", "lines_found_pct", share,
                    kind="continuous")
        )  # fmt: skip
    if _has(scores, "unit", "structure"):
        parts += _scores(scores)
    if _has(segmentation, "unit"):
        uncertain = [
            c
            for c in map(str, segmentation.columns)
            if "entropy" in c or "uncertainty" in c or c == "ood_score"
        ]
        parts += _measured(segmentation[["unit", *uncertain]], "segment")
    if _has(qc, "unit", "verdict"):
        known = qc[qc["verdict"].isin(_VERDICTS)]
        parts.append(part_of(known["unit"], "qc", "qc_fail", known["verdict"] == "fail"))
        parts.append(part_of(known["unit"], "qc", "qc_not_pass", known["verdict"] != "pass"))
    if _has(qc_checks, "unit", "check", "verdict"):
        parts += _checks(qc_checks[qc_checks["verdict"].isin(_VERDICTS)])
    if _has(biomarkers, "unit"):
        parts += _biomarkers(biomarkers, biomarker_columns, truth, better or {})
    if _has(atlas, "unit"):
        parts += _measured(atlas, "atlas", {"atlas_others_distance_mm": "neither"})
    return joined([part for part in parts if len(part.values)])


def direction(name: str) -> str:
    """Return which way a measure is good, by its name; ``neither`` if the name does not say.

    Parameters
    ----------
    name : str
        E.g. ``hd95_mm_grey``.

    Returns
    -------
    str
        ``higher``, ``lower`` or ``neither``.
    """
    for part in name.lower().split("_"):
        if part in _BETTER:
            return _BETTER[part]
    return "neither"


def _has(table: pd.DataFrame | None, *columns: str) -> TypeGuard[pd.DataFrame]:
    return table is not None and len(table) > 0 and set(columns) <= set(table.columns)


def _checks(assessed: pd.DataFrame) -> list[Part]:
    """Whether a unit did not pass a check, in any of its rows."""
    codes, units = sorted_words(assessed["unit"])
    checks, names = sorted_words(assessed["check"])
    bad = (assessed["verdict"] != "pass").to_numpy(dtype=bool)
    found = []
    for number, name in enumerate(names):
        here = checks == number
        seen, worst = (np.zeros(len(units), dtype=bool) for _ in range(2))
        seen[codes[here]] = True
        worst[codes[here & bad]] = True
        found.append(part_of(units[seen], "qc", f"check_{name}", worst[seen]))
    return found


def _statuses(ledger: pd.DataFrame, final_stage: str, analysed: pd.Series | None) -> list[Part]:
    """Failures per stage, and who did not reach the end."""
    found = []
    for stage, rows in ledger.groupby("stage", sort=False):
        tried = rows[rows["status"].isin(["ok", "failed", "excluded"])]
        found.append(
            part_of(tried["unit"], str(stage), f"{stage}_failed", tried["status"] == "failed")
        )
    if analysed is not None:
        units = pd.Index(ledger["unit"].unique())
        kept = units.isin(analysed.index[analysed.to_numpy(dtype=bool)])
        found.append(part_of(units, "study", "not_analysed", pd.Series(~kept)))
        return found
    last = ledger[ledger["stage"] == final_stage]
    if len(last):
        found.append(part_of(last["unit"], "study", "not_analysed", last["status"] != "ok"))
    return found


def _measured(
    table: pd.DataFrame, stage: str, better: Mapping[str, str] | None = None
) -> list[Part]:
    """Every numeric column of `better`, or whose name says whether higher or lower is better."""
    found = []
    known = better or {}
    for column in map(str, table.columns.drop("unit")):
        sense = known.get(column, direction(column))
        used = column in known or sense != "neither"
        if used and pd.api.types.is_numeric_dtype(table[column]):
            means = table.groupby("unit")[column].mean()
            found.append(
                part_of(means.index, stage, column, means, better_is=sense,
                      kind="continuous")
            )  # fmt: skip
    return found


def _by_variant(table: pd.DataFrame) -> pd.DataFrame:
    """One column per measure and variant where a study compares reconstructions."""
    if "variant" not in table or table["variant"].nunique() < 2:
        return table
    measures = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
    wide = table.pivot_table(index="unit", columns="variant", values=measures, aggfunc="mean")
    wide.columns = pd.Index(["_".join(map(str, key)) for key in wide.columns])
    return wide.reset_index()


def _variants(table: pd.DataFrame, *, stage: str = "variants") -> list[Part]:
    """Return Dice of every reconstruction with the reference image, and its absolute errors."""
    found = []
    signed = [name for name in map(str, table.columns) if name.endswith("_error")]
    for variant, rows in table.groupby("variant", sort=True):
        measures = {"dice_mean": rows["dice_mean"]} if "dice_mean" in rows else {}
        for name in signed:
            measures[f"{name.removesuffix('_error')}_abs_error"] = rows[name].abs()
        for name, values in measures.items():
            found.append(
                part_of(rows["unit"], stage, f"{name}_by_{variant}", values,
                      better_is=direction(name), kind="continuous")
            )  # fmt: skip
    return found


def _scores(scores: pd.DataFrame) -> list[Part]:
    """Agreement with reference labels, per structure and over structures."""
    fair = counted(scores)
    measures = [c for c in map(str, fair.columns) if direction(c) != "neither"]
    found = []
    by_structure = [fair["unit"], fair["structure"]]
    present = pd.Series(False, index=fair.index)
    if {"volume_ml", "reference_volume_ml"} <= set(fair):
        present = fair["reference_volume_ml"] > 0
        missed = (fair["volume_ml"] == 0).astype(float).where(present)
        worst = missed.groupby(by_structure).max().unstack("structure")
        for structure in worst:
            known = worst[structure].dropna()
            found.append(part_of(known.index, "segment", f"{structure}_missed", known))
    for measure in measures:
        undefined = (fair[measure].isna() & present).groupby(by_structure).any()
        averages = fair.groupby(["unit", "structure"])[measure].mean().mask(undefined)
        means = averages.unstack("structure")
        for structure in means:
            found.append(
                part_of(means.index, "segment", f"{measure}_{structure}", means[structure],
                      better_is=direction(measure), kind="continuous")
            )  # fmt: skip
        if measure == "dice" and means.shape[1] > 1:
            found.append(
                part_of(means.index, "segment", "dice_mean", means.mean(axis=1, skipna=False),
                      better_is="higher", kind="continuous")
            )  # fmt: skip
    return found


def _biomarkers(
    biomarkers: pd.DataFrame,
    columns: Sequence[str],
    truth: pd.DataFrame | None,
    better: Mapping[str, str],
) -> list[Part]:
    """Biomarkers, and their errors where the truth is known."""
    found = []
    true: Mapping[str, pd.Series] = {}
    if truth is not None and _has(truth, "unit"):
        indexed = truth.set_index("unit")
        true = {str(c).removeprefix("truth_"): indexed[c] for c in indexed}
    for column in columns:
        if column not in biomarkers:
            continue
        values = biomarkers.set_index("unit")[column].astype(float)
        found.append(
            part_of(values.index, "biomarkers", column, values, kind="continuous",
                  better_is=better.get(column, "neither"))
        )  # fmt: skip
        if column in true:
            error = values - true[column].reindex(values.index).astype(float)
            found.append(
                part_of(values.index, "biomarkers", f"{column}_error", error, better_is="neither",
                      kind="continuous")
            )  # fmt: skip
            found.append(
                part_of(values.index, "biomarkers", f"{column}_abs_error", error.abs(),
                      better_is="lower", kind="continuous")
            )  # fmt: skip
        if column in true and column in with_intervals(biomarkers):
            inside = covered(biomarkers, indexed.reset_index(), column).dropna()
            found.append(
                part_of(inside.index, "biomarkers", f"{column}_covered", inside, better_is="higher")
            )
    return found
