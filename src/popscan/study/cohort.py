"""The cohort as the statistics see it: attributes, groups, body size, without impossible values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from popscan.cells import is_recorded, listed, spellings
from popscan.config import Cohort as CohortSection
from popscan.config import Fairness
from popscan.names import natural
from popscan.stats.visits import in_order, order_note


def cohort_attributes(
    participants: pd.DataFrame, *, fairness: Fairness, cohort: CohortSection
) -> tuple[pd.DataFrame, list[str]]:
    """Blank codes and impossible values, decode groups, add body size, age bands, BMI classes.

    Parameters
    ----------
    participants
        One row per unit with a column ``unit``.
    fairness, cohort
        Config sections: codings and age bands; special codes, categories and limits.

    Returns
    -------
    attributes : DataFrame
        Indexed by unit, sorted; ``bsa_m2`` and ``bmi_kg_m2`` are added where height and weight are
        columns.
    notes : list of str
        Sentences on values that were blanked, are not taken as numbers, or seem to be in two units
        or exchanged.
    """
    from popscan.biomarkers.body import bmi_kg_m2, bsa_m2
    from popscan.fairness.attributes import attributes_table, uncoded_notes
    from popscan.stats.codes import as_categories, blank_codes, weight_notes
    from popscan.stats.mixed import mixed_notes
    from popscan.stats.plausible import blank_implausible

    table, notes = _one_spelling(participants)
    table, categories = as_categories(table, categorical=cohort.categorical)
    table, codes = blank_codes(table, codes=cohort.special_codes, leave=fairness.codings)
    table, blanked = blank_implausible(table, limits=cohort.plausible)
    if {"height_cm", "weight_kg"} <= set(table.columns):
        size = table[["height_cm", "weight_kg"]].apply(pd.to_numeric, errors="coerce")
        pairs = list(zip(size["height_cm"], size["weight_kg"], strict=True))
        for name, formula in (("bsa_m2", bsa_m2), ("bmi_kg_m2", bmi_kg_m2)):
            if name not in table:
                table = table.assign(**{name: [formula(h, w) for h, w in pairs]})
    attributes = attributes_table(
        table, age_bands_years=fairness.age_bands_years, codings=fairness.codings
    )
    notes += [*categories, *codes, *(one.sentence() for one in blanked)]
    notes += uncoded_notes(attributes, fairness.codings)
    measured = [str(name) for name in attributes if pd.api.types.is_numeric_dtype(attributes[name])]
    notes += weight_notes(attributes)
    notes += mixed_notes(attributes, columns=measured, decided=cohort.special_codes)
    return attributes.sort_index(), notes


def _one_spelling(participants: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Give groups one spelling, as scans and table may differ (SIEMENS, Siemens)."""
    table, notes = participants, []
    for name in participants.columns.difference(["unit", "sub", "ses"]):
        column = participants[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        codes, different = pd.factorize(column)  # in order of appearance
        sizes = np.bincount(codes[codes >= 0], minlength=len(different)).tolist()
        cells = zip(different, sizes, strict=True)
        counts = {v: n for v, n in cells if isinstance(v, str) and is_recorded(v)}
        replaced = spellings(counts)
        if replaced:
            table = table.assign(**{str(name): column.replace(replaced)})
            found = listed({text: counts[text] for text in replaced})
            notes.append(f"{name}: {found} read as {', '.join(dict.fromkeys(replaced.values()))}.")
    return table, notes


def first_visits(attributes: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return one unit per subject, the first by name, and a sentence if that left any out.

    Numbers count as numbers: ``ses-2`` is before ``ses-10``.

    Tests on ranks, counts of losses, what is associated with a group, limits of agreement and the
    bias ledger take units as independent.
    """
    if "sub" not in attributes or attributes["sub"].is_unique:
        return attributes, []
    names = [natural(str(unit)) for unit in attributes.index]
    order = sorted(range(len(names)), key=names.__getitem__)
    later = attributes["sub"].iloc[order].duplicated()
    first = np.zeros(len(attributes), dtype=bool)
    first[np.array(order)[~later.to_numpy()]] = True
    kept = attributes[first]
    left = len(attributes) - len(kept)
    doubt = order_note(in_order(attributes)) if "ses" in attributes else ""
    return kept, [
        *(
            [f"{doubt[0].upper()}{doubt[1:]}; the first of each subject counts as such."]
            if doubt
            else []
        ),
        f"{left} repeated visits count in the gaps and adjusted gaps (by subject there), not in "
        "pairwise tests, the funnel of losses, confounding, agreement, exclusion at equal quality "
        "and the bias ledger, which take each subject's first visit.",
    ]


def known_columns(wanted: Sequence[str], attributes: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Split columns into those that the study has a value of and those that it lacks."""
    have = [name for name in wanted if name in attributes and attributes[name].notna().any()]
    return have, [name for name in wanted if name not in have]
