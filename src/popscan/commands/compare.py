"""``popscan compare A B``: what changed between two runs or studies, and for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from popscan.fairness.groups import labels
from popscan.names import plural, subject_of
from popscan.opened import OpenedStudy
from popscan.report.units import in_words

_MOST = 12
#: What stands for the status or verdict of a study that has none of a subject.
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What changed from study A to study B.

    Attributes
    ----------
    config
        Keys of the config that differ -> the two values.
    versions
        Packages, stages and model that differ -> the two versions.
    only_a, only_b
        Subjects of one study alone.
    analysed_a, analysed_b
        Subjects in both that are analysed in one study alone.
    stages_a, stages_b
        Stages of which one study alone has records.
    statuses
        ``unit, stage, a, b``: statuses that differ, of subjects in both and stages of both; `NONE`
        where one study has no record.
    verdicts
        ``unit, a, b``: QC verdicts that differ, likewise.
    attributes
        ``unit, attribute, a, b``: attributes of the audit that differ, of subjects in both.
    biomarkers
        One row per biomarker, over subjects analysed in both: ``biomarker, n, changed,
        mean_difference, sd_difference, largest, largest_unit`` (B - A) where both studies have a
        value, ``only_a, only_b``: how many have one in one study alone.
    groups
        ``attribute, group, biomarker, n, n_subjects, mean_difference, in_sd``: the same by group,
        over the visits with a value in both studies, and how many subjects these are of; the
        largest first in units of the biomarker's standard deviation in study A.
    gaps
        ``attribute, stage, outcome, group, reference, gap_a, gap_b``: gaps of the audit that
        differ; NaN where a study has no such gap.
    """

    config: Mapping[str, tuple[object, object]]
    versions: Mapping[str, tuple[object, object]]
    only_a: Sequence[str]
    only_b: Sequence[str]
    analysed_a: Sequence[str]
    analysed_b: Sequence[str]
    stages_a: Sequence[str]
    stages_b: Sequence[str]
    statuses: pd.DataFrame
    verdicts: pd.DataFrame
    attributes: pd.DataFrame
    biomarkers: pd.DataFrame
    groups: pd.DataFrame
    gaps: pd.DataFrame


def compare_studies(a: OpenedStudy, b: OpenedStudy, *, min_group: int = 5) -> Comparison:
    """Compare two studies subject by subject.

    Parameters
    ----------
    a, b
        The studies; subjects are matched by their identifier.
    min_group
        Groups of which fewer subjects have a biomarker in both studies, each in as many visits as
        it has, are left out of `Comparison.groups` for it.
    """
    both = a.subjects.index.intersection(b.subjects.index)
    left, right = _measured(a, b)
    differences = right - left
    return Comparison(
        config=_changed(a.config, b.config),
        versions=_changed(_versions(a), _versions(b)),
        only_a=sorted(a.subjects.index.difference(both)),
        only_b=sorted(b.subjects.index.difference(both)),
        analysed_a=_analysed_alone(a, b, both),
        analysed_b=_analysed_alone(b, a, both),
        stages_a=_stages_alone(a, b),
        stages_b=_stages_alone(b, a),
        statuses=_moved(a, b, "ledger", ["unit", "stage"], "status"),
        verdicts=_moved(a, b, "qc", ["unit"], "verdict"),
        attributes=_regrouped(a, b),
        biomarkers=_summary(differences, left.notna(), right.notna()),
        groups=_by_group(differences, a, spread=left.std(), min_group=min_group),
        gaps=_gaps(a, b),
    )


def _flat(entries: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in entries.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(a: Mapping[str, object], b: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    left, right = dict(_flat(a)), dict(_flat(b))
    keys = [*left, *(key for key in right if key not in left)]
    pairs = {key: (left.get(key), right.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _versions(study: OpenedStudy) -> dict[str, object]:
    names = ("popscan", "packages", "stages", "model")
    return {name: value for name, value in study.provenance.items() if name in names}


def _moved(
    a: OpenedStudy, b: OpenedStudy, table: str, keys: list[str], column: str
) -> pd.DataFrame:
    both = a.subjects.index.intersection(b.subjects.index)
    sides = {}
    for side, study in (("a", a), ("b", b)):
        rows = study.table(table)[[*keys, column]]
        sides[side] = rows[rows["unit"].isin(both)].set_index(keys)[column]
    joined = pd.concat(sides, axis=1).fillna(NONE)
    if "stage" in keys:  # one that a study does not have differs for everybody
        of_both = set.intersection(
            *(set(s.index.get_level_values("stage")) for s in sides.values())
        )
        joined = joined[joined.index.get_level_values("stage").isin(of_both)]
    return joined[joined["a"] != joined["b"]].reset_index()


def _stages_alone(study: OpenedStudy, other: OpenedStudy) -> list[str]:
    """Stages of which only the first study has records."""
    own, others = (list(dict.fromkeys(s.table("ledger")["stage"])) for s in (study, other))
    return [str(stage) for stage in own if stage not in others]


def _analysed_alone(study: OpenedStudy, other: OpenedStudy, both: pd.Index) -> list[str]:
    """Subjects of both that only the first analyses."""
    return sorted((_analysed(study).index.difference(_analysed(other).index)).intersection(both))


def _measured(a: OpenedStudy, b: OpenedStudy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Biomarkers of either study (columns) for subjects analysed in both (rows)."""
    left, right = (_analysed(study) for study in (a, b))
    names = [*left, *(name for name in right if name not in left)]
    rows = left.index.intersection(right.index)
    return left.reindex(index=rows, columns=names), right.reindex(index=rows, columns=names)


def _regrouped(a: OpenedStudy, b: OpenedStudy) -> pd.DataFrame:
    """Subjects of both studies that are not of the same group in both."""
    parts = []
    names = [*a.config["fairness"]["attributes"], *b.config["fairness"]["attributes"]]
    rows = a.subjects.index.intersection(b.subjects.index)
    for name in dict.fromkeys(name for name in names if name in a.subjects and name in b.subjects):
        sides = {
            side: pd.Series(labels(study.subjects.loc[rows, name]).to_numpy(), index=rows)
            for side, study in (("a", a), ("b", b))
        }
        joined = pd.DataFrame(sides).rename_axis("unit").reset_index()
        joined.insert(1, "attribute", name)
        parts.append(joined[joined["a"] != joined["b"]])
    empty = pd.DataFrame(columns=["unit", "attribute", "a", "b"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def _analysed(study: OpenedStudy) -> pd.DataFrame:
    table = study.table("biomarkers").set_index("unit")
    if "analysed" in table:
        table = table[table["analysed"].astype(bool)]
    return table.drop(columns="analysed", errors="ignore").select_dtypes("number").astype(float)


def _summary(differences: pd.DataFrame, in_a: pd.DataFrame, in_b: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for name, column in differences.items():
        known = column.dropna()
        alone = {
            "only_a": int((in_a[name] & ~in_b[name]).sum()),
            "only_b": int((in_b[name] & ~in_a[name]).sum()),
        }
        if not len(known) and not any(alone.values()):
            continue
        largest = str(known.abs().idxmax()) if len(known) else ""
        rows.append(
            {
                "biomarker": name,
                "n": len(known),
                "changed": int((known != 0).sum()),
                "mean_difference": known.mean(),
                "sd_difference": known.std(ddof=1) if len(known) > 1 else np.nan,
                "largest": known[largest] if largest else np.nan,
                "largest_unit": largest,
                **alone,
            }
        )
    columns = ["biomarker", "n", "changed", "mean_difference", "sd_difference", "largest",
               "largest_unit", "only_a", "only_b"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _by_group(
    differences: pd.DataFrame, study: OpenedStudy, *, spread: pd.Series, min_group: int
) -> pd.DataFrame:
    columns = ["attribute", "group", "biomarker", "n", "n_subjects", "mean_difference", "in_sd"]
    long = differences.rename_axis(index="unit", columns="biomarker")
    values = pd.Series(long.stack(future_stack=True), name="difference")
    long = values.dropna().reset_index()
    long["subject"] = long["unit"].map(subject_of)
    parts = []
    for attribute in study.config["fairness"]["attributes"]:
        if attribute not in study.subjects or long.empty:
            continue
        group = long["unit"].map(study.subjects[attribute]).rename("group")
        found = long.groupby([group, "biomarker"], observed=True, sort=False).agg(
            n=("difference", "size"), n_subjects=("subject", "nunique"),
            mean_difference=("difference", "mean"),
        )  # fmt: skip
        enough = found[found["n_subjects"] >= min_group]
        parts.append(enough.reset_index().assign(attribute=attribute))
    if not parts:
        return pd.DataFrame(columns=columns)
    found = pd.concat(parts, ignore_index=True)
    scale = found["biomarker"].map(spread.where(spread > 0)).astype(float)
    found["in_sd"] = found["mean_difference"].astype(float) / scale
    order = found["in_sd"].abs().sort_values(ascending=False, kind="stable", na_position="last")
    return found.loc[order.index, columns].reset_index(drop=True)


def _gaps(a: OpenedStudy, b: OpenedStudy) -> pd.DataFrame:
    keys = ["attribute", "stage", "outcome", "group", "reference"]
    columns = [*keys, "gap_a", "gap_b"]
    sides = [
        s.table("fairness_gaps") if "fairness_gaps" in s.tables else pd.DataFrame() for s in (a, b)
    ]
    if all(side.empty for side in sides):
        return pd.DataFrame(columns=columns)
    none = pd.DataFrame(columns=[*keys, "gap"]).astype({"gap": float})
    left, right = ((none if s.empty else s).set_index(keys)["gap"] for s in sides)
    joined = pd.concat({"gap_a": left, "gap_b": right}, axis=1).dropna(how="all")
    return joined[joined["gap_a"] != joined["gap_b"]].reset_index()


def as_text(found: Comparison) -> str:
    """Return the comparison for a terminal."""
    lines = [
        *_pairs("config", found.config),
        *_pairs("versions", found.versions),
        *(f"only in A: {_names(found.only_a)}" for _ in found.only_a[:1]),
        *(f"only in B: {_names(found.only_b)}" for _ in found.only_b[:1]),
        *(f"analysed only in A: {_names(found.analysed_a)}" for _ in found.analysed_a[:1]),
        *(f"analysed only in B: {_names(found.analysed_b)}" for _ in found.analysed_b[:1]),
        *(f"stages only in A: {', '.join(found.stages_a)}" for _ in found.stages_a[:1]),
        *(f"stages only in B: {', '.join(found.stages_b)}" for _ in found.stages_b[:1]),
        *_table("statuses that changed", found.statuses),
        *_table("QC verdicts that changed", found.verdicts),
        *_table("attributes that changed", found.attributes),
        *_table(
            "biomarkers that changed, B - A, over subjects analysed in both",
            found.biomarkers[(found.biomarkers[["changed", "only_a", "only_b"]] > 0).any(axis=1)],
        ),
        *_table(
            "by group: where the mean difference is largest, in SD of the biomarker in A",
            found.groups[found.groups["mean_difference"].abs() > 0],
        ),
        *_table("gaps that changed", found.gaps),
    ]
    return "\n".join(lines) if lines else "nothing differs"


def _pairs(title: str, pairs: Mapping[str, tuple[object, object]]) -> list[str]:
    return [f"{title}: {key}: {a!r} -> {b!r}" for key, (a, b) in pairs.items()]


def _names(units: Sequence[str]) -> str:
    more = f" and {len(units) - 5} more" if len(units) > 5 else ""
    return f"{in_words(units, plural)}, {', '.join(units[:5])}{more}"


def _table(title: str, table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    shown = table.head(_MOST).to_string(index=False, float_format=lambda x: f"{x:.4g}")
    more = [f"... and {len(table) - _MOST} more"] if len(table) > _MOST else []
    return ["", f"{title} ({len(table)}):", shown, *more]
