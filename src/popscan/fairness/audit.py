"""Compare every outcome between groups: the table that a study's fairness is read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from popscan.fairness import dictionary
from popscan.fairness.describe import describe_groups
from popscan.fairness.design import AuditDesign
from popscan.fairness.gaps import Gap, compare_groups
from popscan.fairness.groups import (
    MISSING,
    Grouping,
    OutcomeMatrix,
    make_groupings,
    outcome_matrix,
    reference_code,
)
from popscan.fairness.ranges import odd_values
from popscan.fairness.roles import role_of
from popscan.fairness.sample import Sample, draw_samples
from popscan.fairness.summary import summarise
from popscan.records import PopscanError
from popscan.stats import multiplicity

#: Over which tests p values are corrected together.
FAMILIES: Mapping[str, list[str]] = {
    "all": [],
    "role": ["role"],
    "attribute": ["attribute"],
    "stage": ["stage"],
    "outcome": ["stage", "outcome"],
}
#: How intervals of means and gaps are made. ``auto``: means of small groups studentised, gaps of
#: groups small for their skewness by permutation and studentised, the wider at each end, all else
#: BCa.
INTERVALS = ("auto", "percentile", "bca", "studentised")
#: Tests of a gap; ``mean`` permutes or takes Welch's t, whichever the sample asks for.
TESTS = ("mean", "welch", "permutation", "rank")


@dataclass(frozen=True, kw_only=True)
class AuditResult:
    """Tables of one audit; their columns are explained in `popscan.fairness.dictionary`.

    Attributes
    ----------
    groups : DataFrame
        One row per attribute, group and outcome.
    gaps : DataFrame
        One row per attribute, group (but the reference) and outcome.
    summary : DataFrame
        One row per attribute and outcome.
    notes
        Sentences on who is missing, ignored or not tested.
    settings
        Options that were used.
    """

    groups: pd.DataFrame
    gaps: pd.DataFrame
    summary: pd.DataFrame
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def audit(
    outcomes: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, str] | None = None,
    min_group: int = 10,
    n_boot: int = 1000,
    alpha: float = 0.05,
    correction: str = "holm",
    family: str = "all",
    interval: str = "auto",
    test: str = "mean",
    cluster: str | None = None,
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
    matrix: OutcomeMatrix | None = None,
) -> AuditResult:
    """Compare outcomes between the groups of each attribute and intersection.

    Parameters
    ----------
    outcomes : DataFrame
        Long: unit, stage, outcome, value, better_is (``higher``, ``lower``, ``neither``), and
        optionally kind (``continuous``, ``binary``). Units without a row have a missing value.
    attributes : DataFrame
        Indexed by unit: everybody in the study, also those without any outcome.
    attributes_to_test : sequence of str
        Columns of `attributes`.
    intersections : sequence of sequences of str
        Columns to cross.
    reference : mapping, optional
        Attribute -> reference group; by default the largest group with a recorded attribute.
    min_group : int
        Groups with fewer subjects with a value are too few to be described or tested.
    n_boot : int
        Bootstrap draws.
    alpha : float
        1 - confidence of intervals, and level of tests.
    correction : str
        ``holm``, ``bh``, ``by`` or ``none``.
    family : str
        Tests that are corrected together: ``all``, those of attributes of one ``role``, or those
        of one ``attribute``, ``stage`` or ``outcome``.
    interval : str
        One of `INTERVALS`; binary outcomes get Wilson's and Newcombe's.
    test : str
        One of `TESTS`; binary outcomes get Fisher's or the chi-squared test.
    cluster : str, optional
        Column of `attributes` with the subject, where subjects have several units: subjects are
        then what is resampled and permuted.
    roles : mapping, optional
        Column -> ``protected`` or ``technical``; others are classified by their name.
    seed : int
        Same seed and tables, same numbers, whatever the order of rows or the names of groups.
    matrix : OutcomeMatrix, optional
        The outcomes, if they were arranged for the same units already.

    Returns
    -------
    AuditResult
        Empty tables without outcomes.

    Raises
    ------
    PopscanError
        If a column, reference or option does not exist, or units repeat.
    """
    _check_options(family=family, interval=interval, test=test, correction=correction)
    if not attributes.index.is_unique:
        twice = attributes.index[attributes.index.duplicated()][0]
        raise PopscanError(f"attributes table: unit {twice} has several rows")
    people = attributes.sort_index()
    matrix = outcome_matrix(outcomes, people.index, made=matrix)
    groupings = make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    )
    if cluster is not None and cluster not in people:
        raise PopscanError(f"cluster column {cluster!r} is not in the attributes table")
    clusters = None if cluster is None else pd.factorize(people[cluster])[0].astype(np.intp)
    references = {g.attribute: reference_code(g, reference) for g in groupings}
    unused = sorted(set(reference or {}) - set(references))
    samples = draw_samples(matrix.values, groupings, clusters, n_boot=n_boot, seed=seed)
    design = AuditDesign(
        alpha=alpha, min_group=min_group, interval=interval, test=test, n_boot=n_boot, seed=seed
    )
    groups: list[dict[str, Any]] = []
    gaps: list[Gap] = []
    summary: list[dict[str, Any]] = []
    for grouping, sample in [] if matrix.values.size == 0 else zip(groupings, samples, strict=True):
        base = references[grouping.attribute]
        groups += describe_groups(matrix, grouping, sample, reference=base, design=design)
        gaps += compare_groups(matrix, grouping, sample, reference=base, design=design)
        summary += summarise(matrix, grouping, sample, design=design)
    return AuditResult(
        groups=pd.DataFrame(groups, columns=list(dictionary.GROUPS)),
        gaps=_correct(gaps, roles, correction=correction, family=family, alpha=alpha),
        summary=_correct_summary(summary, roles, correction=correction, family=family),
        notes=(
            *odd_values(matrix.records(), matrix.values),
            *_notes(outcomes, matrix, groupings, samples, min_group, _subjects(people, cluster)),
            *(f"A reference group is given for {name}, which is not tested." for name in unused),
        ),
        settings={
            "min_group": min_group, "n_boot": n_boot, "alpha": alpha, "correction": correction,
            "family": family, "interval": interval, "test": test, "cluster": cluster, "seed": seed,
            "reference": {
                g.attribute: g.names[references[g.attribute]] for g in groupings if g.names
            },
        },
    )  # fmt: skip


def _check_options(*, family: str, interval: str, test: str, correction: str) -> None:
    """Refuse unknown options with a list of the known ones."""
    known = {
        "family": (family, tuple(FAMILIES)),
        "interval": (interval, INTERVALS),
        "test": (test, TESTS),
        "correction": (correction, tuple(multiplicity.CORRECTIONS)),
    }
    for name, (value, allowed) in known.items():
        if value not in allowed:
            raise PopscanError(f"{name} {value!r} is not known: use one of {sorted(allowed)}")


def _with_roles(rows: list[dict[str, Any]], roles: Mapping[str, str] | None) -> pd.DataFrame:
    """Rows as a table with the role of their attribute."""
    table = pd.DataFrame(rows)
    if len(table):
        table["role"] = [role_of(str(name), roles) for name in table["attribute"]]
    return table


def _correct(
    comparisons: Sequence[Gap],
    roles: Mapping[str, str] | None,
    *,
    correction: str,
    family: str,
    alpha: float,
) -> pd.DataFrame:
    """Add corrected p values and what the corrected level could have detected."""
    if not comparisons:
        return pd.DataFrame(columns=list(dictionary.GAPS))
    gaps = _with_roles([gap.row for gap in comparisons], roles)
    parts = FAMILIES[family]
    gaps["family"] = gaps[parts].agg(" / ".join, axis=1) if parts else "all"
    gaps["p_adj"] = multiplicity.adjust(gaps["p"], method=correction, family=gaps["family"])
    gaps["significant"] = gaps["p_adj"] <= alpha
    gaps["n_tests"] = gaps.groupby("family")["p"].transform("count").astype(int)
    tests = gaps["n_tests"].clip(lower=1)
    level = np.full(len(gaps), alpha) if correction == "none" else (alpha / tests).to_numpy()
    # Both levels of a comparison at once: what they share of an exact test is still at hand.
    found = [
        (gap.detectable(alpha), gap.detectable(a))
        for gap, a in zip(comparisons, level, strict=True)
    ]
    gaps["min_detectable_gap"] = [at_alpha for at_alpha, _ in found]
    gaps["min_detectable_gap_corrected"] = [corrected for _, corrected in found]
    return gaps[list(dictionary.GAPS)]


def _correct_summary(
    rows: list[dict[str, Any]], roles: Mapping[str, str] | None, *, correction: str, family: str
) -> pd.DataFrame:
    """Add corrected p values of the tests over all groups."""
    summary = _with_roles(rows, roles).reindex(columns=list(dictionary.SUMMARY))
    together = summary["role"].astype(str) if family == "role" and len(summary) else None
    summary["p_adj"] = multiplicity.adjust(
        summary["p"].astype(float), method=correction, family=together
    )
    return summary


def _subjects(people: pd.DataFrame, cluster: str | None) -> int:
    return len(people) if cluster is None else int(people[cluster].nunique())


def _notes(
    outcomes: pd.DataFrame,
    matrix: OutcomeMatrix,
    groupings: Sequence[Grouping],
    samples: Sequence[Sample],
    min_group: int,
    n_subjects: int,
) -> list[str]:
    """Say who is missing, ignored, or not tested; subjects count once, however many units."""
    notes = []
    strangers = int((~pd.Index(outcomes["unit"].unique()).isin(matrix.units)).sum())
    if strangers:
        notes.append(
            f"Units of the outcomes table that are not in the attributes table: {strangers}; they "
            "were left out."
        )
    for grouping, sample in zip(groupings, samples, strict=True):
        sizes = np.bincount(sample.codes, minlength=len(grouping.names))
        unknown = sum(
            int(s) for s, is_missing in zip(sizes, grouping.unrecorded, strict=True) if is_missing
        )
        if unknown and " x " not in grouping.attribute:
            notes.append(
                f"{grouping.attribute} was not recorded at some visit of {unknown} of {n_subjects} "
                f"subjects; these visits form the group '{MISSING}'."
                if sample.spans
                else f"{grouping.attribute} was not recorded for {unknown} of {n_subjects} "
                f"subjects, who form the group '{MISSING}'."
            )
        small = [n for n, s in zip(grouping.names, sizes, strict=True) if s < min_group]
        if small:
            has = "has" if len(small) == 1 else "have"
            notes.append(f"{grouping.attribute}: {', '.join(sorted(small))} {has} fewer than "
                         f"{min_group} subjects; not described, not tested.")  # fmt: skip
        if sample.spans:
            notes.append(
                f"{grouping.attribute}: subjects have units in several groups; intervals take it "
                "into account, tests do not and err on the safe side."
            )
    return notes
