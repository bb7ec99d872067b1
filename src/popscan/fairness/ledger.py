"""The bias ledger: where along the pipeline the gap of a biomarker arises.

A pipeline is a chain of steps that each yield a value per unit: the truth, the value measured on
reference images, on reconstructed images, after QC has excluded some units, after the model of
association has adjusted. The gap between two groups can be computed after each step, so its change
at a step is what that step adds or removes. The changes add up to the final gap exactly.

A step may change values and lose units; the two are separated: the gap of the previous values
among those who remain, minus the previous gap, is due to who was lost, the rest to the values.

All is computed from sums over units, so a bootstrap of thousands of draws is one matrix product;
draws are stratified by group and shared by the steps, as the steps share their units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from popscan.columns import Column, text
from popscan.fairness.attributes import confounders_of
from popscan.fairness.chain import Chain, chain_of, sums_table
from popscan.fairness.design import AuditDesign
from popscan.fairness.groups import Grouping, make_groupings, reference_code
from popscan.fairness.roles import families
from popscan.records import PopscanError
from popscan.stats import intervals, multiplicity
from popscan.stats.design import build
from popscan.stats.means import Floats
from popscan.stats.resample import sums_draws

#: Bytes of sums from which the biomarkers that wait are drawn.
_DRAWN_AT_ONCE = 64 * 2**20

#: Column -> what it means of the table that `bias_ledger` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "group": text("group that is compared"),
    "reference": text("group it is compared with"),
    "biomarker": text("what is measured"),
    "position": Column("", "place in the chain, from 0"),
    "step": text("step of the pipeline; 'total change' is the last gap minus the first"),
    "n": Column("units", "units of the group with a value after the step"),
    "n_reference": Column("units", "units of the reference with a value after the step"),
    "gap": Column("biomarker", "mean of the group minus mean of the reference after the step"),
    "gap_ci_low": Column("biomarker", "lower limit of its bootstrap interval"),
    "gap_ci_high": Column("biomarker", "upper limit of its bootstrap interval"),
    "contribution": Column(
        "biomarker", "change of the gap at the step (the gap itself at the first)"
    ),
    "ci_low": Column("biomarker", "lower limit of the contribution's bootstrap interval"),
    "ci_high": Column("biomarker", "upper limit of the contribution's bootstrap interval"),
    "from_values": Column("biomarker", "part of the contribution due to changed values"),
    "from_exclusions": Column(
        "biomarker", "part of the contribution due to units lost (or gained)"
    ),
    "p": Column("", "two-sided p value that the contribution is 0"),
    "p_adj": Column("", "p corrected over all steps but the first of all rows"),
    "note": text("why there is no estimate"),
}

TOTAL = "total change"


def bias_ledger(
    steps: Mapping[str, pd.DataFrame],
    attributes: pd.DataFrame,
    *,
    biomarkers: Sequence[str],
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, str] | None = None,
    adjust_for: Sequence[str] = (),
    min_group: int = 10,
    n_boot: int = 2000,
    alpha: float = 0.05,
    correction: str = "holm",
    family: str = "all",
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Split the gap of each biomarker along the pipeline.

    Parameters
    ----------
    steps : mapping
        Name of the step -> table with ``unit`` and biomarkers (also as ``truth_<name>``), in the
        order of the pipeline. The first is where bias starts to count: the truth, or the best
        reference there is. A unit that is absent, or has no value, was lost at or before that
        step.
    attributes : DataFrame
        Indexed by unit.
    biomarkers : sequence of str
        Columns of the step tables.
    attributes_to_test, intersections, reference, min_group, alpha, correction, family, \
roles, seed
        As in `popscan.fairness.audit.audit`.
    adjust_for : sequence of str
        Columns of `attributes`; if given, a last step ``adjustment for ...`` holds them equal by a
        linear model with common slopes (analysis of covariance).
    n_boot : int
        Bootstrap draws.

    Returns
    -------
    DataFrame
        One row per attribute, group, biomarker and step, then one ``total change``; columns as in
        `DICTIONARY`. Intervals are percentile ones, widened for small groups.

    Raises
    ------
    PopscanError
        With fewer than two steps, or when a column does not exist.
    """
    if len(steps) < 2:
        raise PopscanError("a bias ledger needs at least two steps")
    absent = [name for name in adjust_for if name not in attributes]
    if absent:
        raise PopscanError(f"confounder {', '.join(absent)} is not in the attributes table")
    people = attributes.sort_index()
    design = AuditDesign(alpha=alpha, min_group=min_group, n_boot=n_boot, seed=seed)
    tables = {name: _indexed(name, table) for name, table in steps.items()}
    groupings = make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    )
    places = {name: t.index.get_indexer(people.index) for name, t in tables.items()}
    adjusting = _Confounders(people, adjust_for)
    measured = {
        biomarker: np.column_stack(
            [
                _placed(t[biomarker], places[name])
                if biomarker in t
                else np.full(len(people), np.nan)
                for name, t in tables.items()
            ]
        )
        for biomarker in biomarkers
    }
    by_grouping = [
        _chains(grouping, measured, adjusting, [*tables], reference=reference or {}, design=design)
        for grouping in groupings
    ]
    rows = [row for name in measured for chains in by_grouping for row in chains[name]]
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    changes = (table["position"] > 0) & (table["step"] != TOTAL)
    table.loc[changes, "p_adj"] = multiplicity.adjust(
        table.loc[changes, "p"].astype(float),
        method=correction,
        family=families(table[changes], family, roles) if changes.any() else None,
    )
    return table


def _indexed(step: str, table: pd.DataFrame) -> pd.DataFrame:
    """Step table by unit."""
    if "unit" not in table:
        raise PopscanError(f"bias ledger: table of step {step!r} has no column unit")
    if table["unit"].duplicated().any():
        raise PopscanError(f"bias ledger: table of step {step!r} has a unit twice")
    indexed = table.set_index("unit")
    indexed.columns = pd.Index([str(name).removeprefix("truth_") for name in indexed.columns])
    return indexed


def _placed(column: pd.Series, places: NDArray[np.intp]) -> Floats:
    """Values of all units, NaN for those that the column lacks."""
    known = np.append(pd.to_numeric(column, errors="coerce").to_numpy(float), np.nan)
    return known[places]  # place -1 is the last, of no unit


class _Confounders:
    """Confounders of every grouping, made again only where other units are complete."""

    def __init__(self, people: pd.DataFrame, adjust_for: Sequence[str]) -> None:
        self._people, self._adjust_for = people, adjust_for
        self._kept: dict[str, tuple[bytes, tuple[Floats, str]]] = {}

    def of(self, grouping: Grouping, last: Floats) -> tuple[Floats, str]:
        """Numeric confounders (NaN rows where incomplete) and the step's name."""
        known = np.isfinite(last)
        key = np.packbits(known).tobytes()
        if grouping.attribute not in self._kept or self._kept[grouping.attribute][0] != key:
            self._kept[grouping.attribute] = key, self._made(grouping, known)
        return self._kept[grouping.attribute][1]

    def _made(self, grouping: Grouping, known: NDArray[np.bool_]) -> tuple[Floats, str]:
        people = self._people
        usable = confounders_of(grouping.attribute, self._adjust_for)
        if not usable:
            return np.empty((len(people), 0)), ""
        complete = pd.Series(known, index=people.index)
        regressors = build(people, terms=usable, categorical=(), complete=complete)
        x = regressors.matrix.iloc[:, 1:].reindex(people.index).to_numpy(dtype=float)
        if x.shape[1] == 0:
            return x, ""
        return x, f"adjustment for {', '.join(regressors.used)}"


def _chains(
    grouping: Grouping,
    measured: Mapping[str, Floats],
    adjusting: _Confounders,
    steps: Sequence[str],
    *,
    reference: Mapping[str, str],
    design: AuditDesign,
) -> dict[str, list[dict[str, Any]]]:
    """Rows of one attribute by biomarker: all are drawn with the same weights."""
    found: dict[str, list[dict[str, Any]]] = {}
    waiting: dict[str, tuple[Floats, tuple[int, int], str]] = {}

    def draw() -> None:
        tables = [table for table, _, _ in waiting.values()]
        drawn = sums_draws(tables, grouping.codes, n_boot=design.n_boot, seed=design.seed)
        for (name, (table, shape, label)), draws in zip(waiting.items(), drawn, strict=True):
            found[name] = _chain_rows(
                grouping,
                shape,
                table,
                draws,
                names=[*steps, *([label] if label else [])],
                biomarker=name,
                reference=reference,
                design=design,
            )
        waiting.clear()

    for name, values in measured.items():
        x, label = adjusting.of(grouping, values[:, -1])
        waiting[name] = sums_table(values, x), (values.shape[1], x.shape[1]), label
        if sum(table.nbytes for table, _, _ in waiting.values()) > _DRAWN_AT_ONCE:
            draw()
    if waiting:
        draw()
    return found


def _chain_rows(
    grouping: Grouping,
    shape: tuple[int, int],
    table: Floats,
    draws: Mapping[int, Floats],
    *,
    names: Sequence[str],
    biomarker: str,
    reference: Mapping[str, str],
    design: AuditDesign,
) -> list[dict[str, Any]]:
    """Rows of one biomarker and attribute; `shape` is steps and confounders."""
    sums = {
        int(code): table[grouping.codes == code].sum(axis=0) for code in np.unique(grouping.codes)
    }
    base = reference_code(grouping, reference)
    rows = []
    for code in map(int, np.argsort(grouping.names)):
        if code == base:
            continue
        k = shape[0]
        columns = [*range(k), *([4 * k - 2] if shape[1] else [])]  # counts; complete rows last
        sizes = np.array([sums[code][columns], sums[base][columns]]).astype(int)
        about = {
            "attribute": grouping.attribute, "group": grouping.names[code],
            "reference": grouping.names[base], "biomarker": biomarker,
        }  # fmt: skip
        smallest = int(sizes.min())
        if smallest < design.min_group:
            note = f"too few: {smallest} units after some step, {design.min_group} needed"
            rows += [{**about, "step": s, "position": i, "note": note} for i, s in enumerate(names)]
            continue
        estimate = chain_of({c: s[None] for c, s in sums.items()}, code, base, shape)
        drawn = chain_of(draws, code, base, shape)
        level = intervals.expanded(design.alpha, smallest)
        rows += _rows(about, names, sizes, estimate, drawn, level=level, smallest=smallest)
    return rows


def _rows(
    about: Mapping[str, Any],
    names: Sequence[str],
    sizes: NDArray[np.intp],
    estimate: Chain,
    drawn: Chain,
    *,
    level: float,
    smallest: int,
) -> list[dict[str, Any]]:
    """Rows of one group: steps, then the total."""
    rows = []
    for i, step in enumerate(names):
        gap, gap_draws = estimate.gaps[0, i], drawn.gaps[:, i]
        row = {**about, "step": step, "position": i, "gap": gap, "note": ""}
        row["n"], row["n_reference"] = sizes[:, i]
        row["gap_ci_low"], row["gap_ci_high"] = _limits(gap_draws, level)
        if i == 0:
            part, part_draws = gap, gap_draws
        else:
            part, part_draws = gap - estimate.gaps[0, i - 1], gap_draws - drawn.gaps[:, i - 1]
            row["from_values"] = gap - estimate.remaining[0, i]
            row["from_exclusions"] = estimate.remaining[0, i] - estimate.gaps[0, i - 1]
        row |= _part(part, part_draws, level, smallest)
        rows.append(row)
    total = estimate.gaps[0, -1] - estimate.gaps[0, 0]
    rows.append(
        {
            **rows[-1], "step": TOTAL, "position": len(names),
            "from_values": sum(row.get("from_values", 0.0) for row in rows),
            "from_exclusions": sum(row.get("from_exclusions", 0.0) for row in rows),
            **_part(total, drawn.gaps[:, -1] - drawn.gaps[:, 0], level, smallest),
        }
    )  # fmt: skip
    return rows


def _part(part: float, draws: Floats, level: float, smallest: int) -> dict[str, float]:
    """Contribution with interval and p value."""
    low, high = _limits(draws, level)
    spread = float(np.nanstd(draws)) * np.sqrt(smallest / (smallest - 1))
    tiny = 1e-9 * max(abs(part), 1e-9)
    p = float(2 * stats.t.sf(abs(part) / spread, smallest - 1)) if spread > tiny else float("nan")
    return {"contribution": part, "ci_low": low, "ci_high": high, "p": p}


def _limits(draws: Floats, level: float) -> tuple[float, float]:
    """Percentile interval of one number."""
    low, high = intervals.percentile(draws[:, None], alpha=level)
    return float(low[0]), float(high[0])
