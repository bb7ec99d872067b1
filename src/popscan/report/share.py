"""What may leave the safe room: no identifiers, no cell that a few people could be known by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from popscan.report.context import StudyContext, complete, numbers, study_units, unit_column, words

#: Provenance entries that say nothing of a person, a place or a folder.
_PUBLIC_PROVENANCE = re.compile(
    r"version|software|package|python|seed|digest|sha|model|method|popscan|study|date|finished",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_PATH = re.compile(r"(?:[A-Za-z]:\\|~?/)[\w.~+-]+(?:[/\\][\w.~+-]*)+")
_REMOVED = "[removed]"


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
            found |= set(words(frame["unit"]))
    found |= {part for unit in found for part in unit.split("_") if part.startswith("sub-")}
    bare = {name.removeprefix("sub-") for name in found}
    # A bare "24" would also be a count in a sentence; "0024" is an identifier.
    found |= {name for name in bare if not name.isdigit() or name.startswith("0")}
    return {name for name in found if name}


def scrub(text: str, names: set[str], *, minimum: int = 5) -> str:
    """Remove identifiers and paths from a free text, and round the counts that it tells."""
    clean = _PATH.sub(_REMOVED, text)
    for name in sorted((n for n in names if not _TOKEN.fullmatch(n)), key=len, reverse=True):
        clean = clean.replace(name, _REMOVED)
    clean = _TOKEN.sub(
        lambda m: _REMOVED if m[0] in names or m[0].rstrip(".") in names else m[0], clean
    )

    def rounded(found: re.Match[str]) -> str:
        n = int(found[1].replace(",", ""))
        return f"n < {minimum}" if n < minimum else f"n ≈ {minimum * round(n / minimum):,}"

    return re.sub(r"\bn\s*=\s*(\d[\d,]*)(?![.\d])", rounded, clean)


def _public(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if _PUBLIC_PROVENANCE.search(str(key))}


def _without_small_groups(groups: pd.DataFrame, *, minimum: int) -> pd.DataFrame:
    """Blank what rests on few people, or tells of few events among many."""
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


def shareable(context: StudyContext, *, minimum: int) -> StudyContext:
    """Return the study without identifiers, messages, pictures of persons and small groups.

    Tables that the sections count from keep their rows; the sections round counts and hide small
    ones as they write them. Config and free-text model cards are left out: they hold paths.
    """
    names = identifiers(context)

    def clean(text: str) -> str:
        return scrub(text, names, minimum=minimum)

    groups = _without_small_groups(context.fairness_groups, minimum=minimum)
    gaps = context.fairness_gaps
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
    return replace(
        context,
        name=clean(context.name),
        description=clean(context.description),
        fairness_groups=groups,
        fairness_gaps=gaps,
        agreement_points=pd.DataFrame(),
        sentences=[clean(sentence) for sentence in context.sentences],
        words={part: [clean(line) for line in said] for part, said in context.words.items()},
        # Sentences on the cohort table hold cells of single subjects.
        limits=[clean(text) for text in context.limits if not text.startswith("Cohort: ")],
        provenance=_public(context.provenance),
        config_text="",
        model_cards={},
        flagged=(),
    )
