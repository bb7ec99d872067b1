"""Study-level regression: which rows and columns go into associations and reference ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from popscan.associate.precision import precision_table
from popscan.config import Associate, Fairness, study_seed
from popscan.protocols import protocol_of
from popscan.stats.harmonise_account import harmonised_name
from popscan.study import dictionary
from popscan.study.adjusted import slopes_table
from popscan.study.cohort import first_visits
from popscan.study.harmonised import and_harmonised
from popscan.study.study import Study
from popscan.study.tables import tables_folder, write_table


def analysed_table(study_root: Path, options: Mapping[str, object]) -> pd.DataFrame:
    """One row per analysed subject: cohort columns and biomarkers."""
    study = Study.of_tables(study_root, options)
    participants, biomarkers = study.attributes.reset_index(), study.biomarkers
    if biomarkers.empty:
        return participants.iloc[:0]
    shared = [c for c in biomarkers if c in participants and c != "unit"]
    return participants.drop(columns=shared).merge(biomarkers, on="unit")


def associate_study(study_root: Path, options: Mapping[str, object]) -> None:
    """Write associations, reference ranges, precision, and tables of size adjustments."""
    section = Associate.of(options)
    _write_adjusted(study_root, options)
    _write_harmonised(study_root, options)
    table = analysed_table(study_root, options)
    outcomes = and_harmonised(section.outcomes, table) if len(table) else []
    found, ranges = regressions(
        table, outcomes=outcomes, terms=section.terms, min_n=section.min_n,
        seed=study_seed(options),
    )  # fmt: skip
    fairness = Fairness.of(options)
    precision = precision_table(
        table,
        outcomes=outcomes,
        by=[name for name in fairness.attributes if name in table],
        min_group=fairness.min_group,
    )
    write_table(study_root, "precision", precision, dictionary.of("precision"))
    write_table(study_root, "associations", found, dictionary.of("associations"))
    write_table(
        study_root,
        "reference_ranges",
        ranges,
        dictionary.of("reference_ranges", names=map(str, ranges)),
    )


def _write_adjusted(study_root: Path, options: Mapping[str, object]) -> None:
    """Write ``biomarkers_adjusted`` and ``size_slopes`` where the protocol adjusts for a size."""
    protocol = protocol_of(options)
    if not protocol.adjustments:
        return
    study = Study.of_tables(study_root, options)
    made = [name for name in study.size_slopes if name in study.biomarkers]
    table = study.biomarkers[["unit", *made]] if made else pd.DataFrame({"unit": []}, dtype=str)
    name = "biomarkers_adjusted"
    write_table(study_root, name, table, dictionary.of(name, protocol))
    slopes = slopes_table(protocol.adjustments, study.size_slopes, study.reference_group)
    write_table(study_root, "size_slopes", slopes, dictionary.of("size_slopes"))


def _write_harmonised(study_root: Path, options: Mapping[str, object]) -> None:
    """Write ``biomarkers_harmonised`` and ``harmonisation`` where the config asks for them."""
    study = Study.of_tables(study_root, options)
    made, names = study.harmonisation, ("biomarkers_harmonised", "harmonisation")
    if made is None:
        for path in tables_folder(study_root).glob("*harmonis*.*"):
            if path.stem in names:
                path.unlink()  # of the time before the config was changed
        return
    columns = [name for name in map(str, study.biomarkers) if harmonised_name(name) in made.values]
    table = study.biomarkers[["unit", *and_harmonised(columns, made.values)]]
    known = dictionary.of(names[0], names=map(str, table))
    write_table(study_root, names[0], table, known)
    write_table(study_root, names[1], made.account, dictionary.of(names[1]))


def regressions(
    table: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    terms: Sequence[str],
    min_n: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute associations over all visits, and reference ranges of one visit per subject.

    Parameters
    ----------
    table
        One row per visit, with the subject in ``sub``.
    outcomes, terms, min_n
        As in `popscan.associate.models.associate`.
    seed
        Of the bootstrap.
    """
    from popscan.associate.models import associate
    from popscan.associate.ranges import reference_ranges

    found = associate(table, outcomes=outcomes, terms=terms, min_n=min_n, cluster="sub")
    by = ["sex"] if "sex" in table else []
    once, _ = first_visits(table)
    ranges = reference_ranges(once, outcomes=outcomes, by=by, seed=seed)
    if len(once) < len(table) and len(ranges):
        ranges["note"] = [_and_visits(note) for note in ranges["note"]]
    return found, ranges


def _and_visits(note: str) -> str:
    """Add that one visit per subject counts."""
    return "; ".join(filter(None, (note, "the first analysed visit of each subject")))
