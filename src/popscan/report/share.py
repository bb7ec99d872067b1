"""What may leave the safe room: no identifiers, no cell that a few people could be known by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pandas as pd

from popscan.names import subject_of
from popscan.report.columns import SharedColumns, shared_columns
from popscan.report.context import StudyContext
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import attribute_by_unit, study_units, unit_column

#: Provenance entries that say nothing of a person, a place or a folder.
_PUBLIC_PROVENANCE = re.compile(
    r"version|software|package|python|seed|digest|sha|model|method|popscan|study|date|finished",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_PATH = re.compile(r"(?:[A-Za-z]:\\|~?/)[\w.~+-]+(?:[/\\][\w.~+-]*)+")
_REMOVED = "[removed]"
_SIZE = re.compile(r"\bn\s*=\s*(\d[\d,]*)(?![.\d])")
_SUBJECTS = re.compile(
    r"(?<![\w.,])(\d[\d,]*)((?: \w+)? (?:subject|participant|patient|volunteer|unit|visit|people|"
    r"women|woman|men|man|person|scan|row|case|value)s?\b)",
    re.IGNORECASE,
)
#: What a sentence on the cohort's own rows starts with: it may quote any cell.
_OF_THE_DATA = "Cohort: "


def identifiers(context: StudyContext) -> set[str]:
    """Return every word that names a subject or a visit in any table of the study."""
    found: set[str] = set(study_units(context))
    table = context.participants
    if len(table):
        found |= set(unit_column(table, known=found))
    for column in ("participant_id", "sub", "unit"):
        if column in table:
            found |= set(words(table[column]))
    for frame in (context.qc, context.qc_checks, context.biomarkers, context.scores):
        if "unit" in frame:
            found |= set(words(pd.Series(frame["unit"].unique())))
    found |= {part for unit in found for part in unit.split("_") if part.startswith("sub-")}
    bare = {name.removeprefix("sub-") for name in found}
    # A bare "24" would also be a count in a sentence; "0024" is an identifier.
    found |= {name for name in bare if not name.isdigit() or name.startswith("0")}
    return {name for name in found if name}


def scrubber(names: set[str], *, minimum: int = 5, base: int = 5) -> Callable[[str], str]:
    """Return what removes identifiers and paths from a free text and rounds counts of subjects.

    The names are looked through once, not for every text.

    Parameters
    ----------
    names
        Identifiers, as `identifiers` returns them.
    minimum
        Smallest count that may be shown.
    base
        Counts are rounded to its multiples.
    """
    unusual = sorted((n for n in names if not _TOKEN.fullmatch(n)), key=len, reverse=True)

    def rounded(count: str) -> tuple[str, str]:
        n = int(count.replace(",", ""))
        return ("<", str(minimum)) if 0 < n < minimum else ("≈", f"{base * round(n / base):,}")

    def scrub(text: str) -> str:
        clean = _PATH.sub(_REMOVED, text)
        for name in unusual:
            clean = clean.replace(name, _REMOVED)
        clean = _TOKEN.sub(
            lambda m: _REMOVED if m[0] in names or m[0].rstrip(".") in names else m[0], clean
        )
        clean = _SUBJECTS.sub(lambda m: " ".join(rounded(m[1])).removeprefix("≈ ") + m[2], clean)
        return _SIZE.sub(lambda m: "n " + " ".join(rounded(m[1])), clean)

    return scrub


def _public(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if _PUBLIC_PROVENANCE.search(str(key))}


def _attributes_of(group: str) -> list[str]:
    """Return the columns that an atlas's group is made of: ``sex=female, site=north`` is of two."""
    return [part.partition("=")[0] for part in group.split(", ") if "=" in part]


def _without_small_groups(groups: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Blank what rests on few people, or reveals few events among many."""
    if not len(groups):
        return groups
    table = complete(groups, "n", "n_units", "kind", "mean", "too_few").copy()
    n, mean = numbers(table["n"]), numbers(table["mean"])
    small = ((n > 0) & (n < minimum)) | (numbers(table["n_units"]) < minimum)
    events = n * mean
    few = ((events > 1e-6) & (events < minimum)) | ((n - events > 1e-6) & (n - events < minimum))
    small |= (words(table["kind"]) == "binary") & few
    for column in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[column])
        if numeric and not pd.api.types.is_bool_dtype(table[column]):
            table[column] = table[column].astype(float).mask(small)
    table["too_few"] = table["too_few"].astype(object).mask(small, True)
    return table


def _people(
    table: pd.DataFrame, units: pd.Series, columns: SharedColumns, *, minimum: int
) -> pd.DataFrame:
    """Cohort table with the shared columns alone; levels of few subjects become ``other``."""
    shown = {str(c): table[c] for c in table.columns if str(c) in columns.columns}
    for name, values in shown.items():
        text = words(values)
        known = text[text != ""]
        numeric = numbers(known)
        if numeric.notna().mean() >= 0.8 and numeric.nunique() > 5:
            continue
        counts = _subjects_by_level(known, units[known.index])
        rare = set(counts.index[counts < minimum]) - {"unknown", "missing", "not recorded"}
        shown[name] = text.mask(text.isin(rare), "other")
    return pd.DataFrame(shown, index=table.index)


def _without_yes_or_no(biomarkers: pd.DataFrame) -> pd.DataFrame:
    """Leave out numbers of two values: their mean would reveal how many subjects have either."""
    measured = biomarkers.select_dtypes("number").columns
    return biomarkers.drop(columns=[name for name in measured if biomarkers[name].nunique() == 2])


def _shared_associations(
    context: StudyContext, columns: SharedColumns, *, minimum: int
) -> pd.DataFrame:
    """Associations without terms that name a column, or a level of few, that is not shared."""
    table = context.associations
    if not len(table) or "term" not in table:
        return table
    terms = words(table["term"])
    steps = {}
    for term in dict.fromkeys(terms):
        if term in context.participants and numbers(context.participants[term]).nunique() > 2:
            steps[term] = float(f"{numbers(context.participants[term]).std():.2g}")
    kept = terms.map(lambda term: _term_is_shared(context, term, columns, minimum=minimum))
    size = numbers(complete(table, "n")["n"])
    return table.assign(step=terms.map(steps).astype(float))[kept & ~(size < minimum)]


def _subjects_by_level(levels: pd.Series, units: pd.Series) -> pd.Series:
    """Return how many subjects have each level at any visit."""
    subjects = units.astype(str).map(subject_of).to_numpy()
    pairs = pd.DataFrame({"level": levels.to_numpy(), "subject": subjects}).drop_duplicates()
    return pairs["level"].value_counts()


def _term_is_shared(
    context: StudyContext, term: str, columns: SharedColumns, *, minimum: int
) -> bool:
    """Whether a term names no level, or levels of a shared column with enough subjects each.

    Names of columns and levels may hold anything ("smoking status[HIV vs AIDS vs none]"): they are
    looked up, and a term whose levels are not known is not shared. Rare levels that were merged are
    called "other".
    """
    names = [str(name) for name in context.participants]
    if term in names or not term.endswith("]"):
        return True
    within = [name for name in names if term.startswith(f"{name}[")]
    if not within:
        return False
    column = max(within, key=len)
    levels = attribute_by_unit(context, column)
    levels = levels.astype(str).str.removesuffix(".0")
    counts = _subjects_by_level(levels, pd.Series(levels.index, index=levels.index))
    sizes = {"other": minimum, **{str(name): int(n) for name, n in counts.items()}}
    inside = term.removeprefix(f"{column}[").removesuffix("]")
    parts = inside.split(" vs ")
    divided = [[" vs ".join(parts[:k]), " vs ".join(parts[k:])] for k in range(1, len(parts))]
    divided.append([inside])
    known = [pair for pair in divided if set(pair) <= set(sizes)]
    enough = all(sizes[name] >= minimum for pair in known for name in pair)
    return columns.allows(column) and bool(known) and enough


def shareable(
    context: StudyContext,
    *,
    minimum: int,
    base: int = 5,
    columns: SharedColumns | None = None,
) -> StudyContext:
    """Return the study without identifiers, messages, pictures of persons and small groups.

    Of the cohort table only the shared columns are left. Tables that the sections count from keep
    their rows; the sections round counts and hide small ones as they write them. Config and
    free-text model cards are left out: they hold paths.

    Parameters
    ----------
    context
        The study.
    minimum
        Smallest count that may be shown.
    base
        Counts are rounded to its multiples.
    columns
        Columns of the cohort table that may be shown; by default those of the audit's tables and
        `popscan.report.columns.DEFAULT_COLUMNS`.
    """
    names = identifiers(context)
    if columns is None:
        attributes = words(complete(context.fairness_groups, "attribute")["attribute"]).unique()
        columns = shared_columns(context.participants, attributes=attributes)
    units = unit_column(context.participants, known=study_units(context))
    people = _people(context.participants, units, columns, minimum=minimum)

    clean = scrubber(names, minimum=minimum, base=base)
    parts = [f.name for f in fields(context) if f.name.startswith("fairness_")]
    tables: dict[str, Any] = {part: columns.rows(getattr(context, part)) for part in parts}
    groups = _without_small_groups(tables["fairness_groups"], minimum=minimum)
    gaps = _without_small_gaps(tables["fairness_gaps"], groups, minimum=minimum)
    return replace(
        context,
        **tables | {"fairness_groups": groups, "fairness_gaps": gaps},
        name=clean(context.name),
        description=clean(context.description),
        participants=people.assign(unit=units),
        biomarkers=_without_yes_or_no(context.biomarkers),
        associations=_shared_associations(context, columns, minimum=minimum),
        atlas={
            name: pictures
            for name, pictures in context.atlas.items()
            if all(columns.allows(one) for one in _attributes_of(name))
        },
        agreement_points=pd.DataFrame(),
        sentences=[clean(sentence) for sentence in context.sentences],
        words={part: [clean(line) for line in lines] for part, lines in context.words.items()},
        limits=[clean(limit) for limit in context.limits if not limit.startswith(_OF_THE_DATA)],
        provenance=_public(context.provenance),
        config_text="",
        model_cards={},
        flagged=(),
    )


#: What shares of missing values say of small groups, to the percent: their flag stays.
_MISSING = ("missing_pct", "missing_reference_pct", "bound_low", "bound_high")


def _without_small_gaps(gaps: pd.DataFrame, groups: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Leave out gaps that rest on a group that is hidden, and shares of missing values."""
    gaps = gaps.drop(columns=[name for name in _MISSING if name in gaps])
    if len(gaps) and len(groups) and {"attribute", "outcome", "group"} <= set(gaps.columns):
        few = complete(groups, "attribute", "outcome", "group", "n")
        few = few[numbers(few["n"]).isna()]
        keys = set(zip(few["attribute"], few["outcome"], few["group"], strict=True))
        for side in ("group", "reference"):
            sides = complete(gaps, "reference")[side]
            found = zip(gaps["attribute"], gaps["outcome"], sides, strict=True)
            gaps = gaps[[key not in keys for key in found]]
    for column in ("n", "n_reference"):
        if column in gaps:
            size = numbers(gaps[column])
            gaps = gaps[~((size > 0) & (size < minimum))]
    return gaps
