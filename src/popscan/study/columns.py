"""Columns and groups that a config names, against those that exist: before anything is computed.

A name that the config gives and no table has is a problem. A name that only stands in the defaults
and that the study lacks (no race, no body size) is a note: what it concerns goes without.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from popscan.cells import is_recorded
from popscan.config import Config, TableConfig, protocol_problems
from popscan.config.section import Section
from popscan.fairness.groups import MISSING, labels
from popscan.protocol import Protocol
from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.study import dictionary
from popscan.study.adjusted import adjusted_columns
from popscan.study.cohort import cohort_attributes
from popscan.study.participants import HIDDEN, without_empty
from popscan.study.tables import numbers_if_all

#: What ingest learns of each scan.
_SCAN = (
    "n_slices", "n_frames", "pixel_spacing_mm", "slice_distance_mm", "manufacturer",
    "field_strength_t", "views",
)  # fmt: skip
#: Kind of source -> columns that it has beside the images.
_OF_SOURCE: Mapping[str, tuple[str, ...]] = {"acdc": ("group", "height_cm", "weight_kg")}
#: Column that popscan makes -> columns that it is made of.
_MADE: Mapping[str, tuple[str, ...]] = {
    "age_band": ("age_years",),
    "bmi_class": ("height_cm", "weight_kg"),
    "bsa_m2": ("height_cm", "weight_kg"),
    "bmi_kg_m2": ("height_cm", "weight_kg"),
}
_CROSS = " x "


class Named(NamedTuple):
    """A name in the config: its key, and whether the config gives it (else it is a default)."""

    key: str
    name: str
    given: bool


@dataclass
class Known:
    """What a study has.

    Attributes
    ----------
    table
        Attributes of the subjects, as the statistics see them; no rows without a cohort table.
    others
        Columns that are known by name only, before the images are read.
    what
        Where columns stand, for messages.
    """

    table: pd.DataFrame
    others: tuple[str, ...] = ()
    what: str = "the cohort table"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """All columns."""
        return list(dict.fromkeys([*map(str, self.table.columns), *self.others]))


def study_columns(config: Config, rows: pd.DataFrame | None) -> tuple[list[str], list[str]]:
    """Check the columns and groups that a study's config names.

    Parameters
    ----------
    config
        As read from its file: what it does not give counts as a default.
    rows
        The cohort table as `popscan.io.read_cohort` returns it; None if there is none.

    Returns
    -------
    problems, notes : list of str
        What has to be mended, and what the study goes without.
    """
    kind = config.source.kind
    table, notes = _attributes(config, rows)
    others = (*_SCAN, *_OF_SOURCE.get(kind, ()))
    others += tuple(made for made, of in _MADE.items() if set(of) <= {*table.columns, *others})
    known = Known(table=table, others=others, notes=notes)
    if rows is None:
        known.what = f"a study without cohort table (source.kind {kind})"
    protocol = get_protocol(config.protocol)
    measured = [*protocol.biomarkers.columns(), *adjusted_columns(protocol)]
    fairness, associate = config.fairness, config.associate
    _compare(known, _listed(fairness, "fairness", "attributes"), [], strict=rows is not None)
    _compare(known, _listed(fairness, "fairness", "adjust_for"), [], used=True)
    _compare(known, _listed(associate, "associate", "terms"), measured, used=True)
    _compare(known, _crossed(config), [])
    if fairness.adjust_block:
        _compare(known, [Named("fairness.adjust_block", fairness.adjust_block, True)], [])
    _names(known, _listed(associate, "associate", "outcomes"), [*measured, *known.columns])
    _names(known, _listed(fairness, "fairness", "biomarkers"), measured)
    quality = [Named("fairness.quality", fairness.quality, True)]
    _names(known, quality, _outcomes(protocol, measured))
    if config.atlas.enabled:
        of = _listed(config.atlas, "atlas", "groups")
        _compare(known, of, [], strict=rows is not None)
    if config.rca.enabled:
        _compare(known, _listed(config.rca, "rca", "balance_by"), [])
    if config.visibility.enabled:
        _compare(known, _listed(config.visibility, "visibility", "attributes"), [])
        _compare(known, _listed(config.visibility, "visibility", "adjust_for"), [], used=True)
    _check_keys(known, config)
    return known.problems, known.notes


def table_columns(config: TableConfig, attributes: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Check the columns and groups that the config of ``popscan audit`` names.

    Parameters
    ----------
    config
        As read from its file.
    attributes
        The table, as `popscan.study.cohort.cohort_attributes` returns it.
    """
    known = Known(table=attributes, what="the table")
    if not (config.table.outcomes or config.table.predictions):
        known.problems.append(
            "table.outcomes (or table.predictions): none given; expected some of: "
            f"{', '.join(known.columns)}"
        )
    _names(known, [Named("table.outcomes", n, True) for n in config.table.outcomes], known.columns)
    fairness, associate = config.fairness, config.associate
    _compare(known, _listed(fairness, "fairness", "attributes"), [])
    _compare(known, _listed(fairness, "fairness", "adjust_for"), [], used=True)
    _compare(known, _listed(associate, "associate", "terms"), [], used=True)
    _compare(known, _crossed(config), [])
    if fairness.adjust_block:
        _compare(known, [Named("fairness.adjust_block", fairness.adjust_block, True)], [])
    if "outcomes" in associate.model_fields_set:
        _names(known, _listed(associate, "associate", "outcomes"), known.columns)
    _check_keys(known, config)
    return known.problems, known.notes


def _rows_of(rows: pd.DataFrame | None) -> list[str]:
    return [] if rows is None else list(map(str, rows.columns))


def _attributes(config: Config, rows: pd.DataFrame | None) -> tuple[pd.DataFrame, list[str]]:
    """Attributes of the cohort table's subjects, and notes on them."""
    if rows is None or rows.empty:
        return pd.DataFrame(columns=_rows_of(rows)), []
    people = rows.rename(columns={"participant_id": "sub", "session_id": "ses"})
    people = without_empty(people)
    if config.source.kind == "simulated":
        people = people[[name for name in people if not str(name).startswith(HIDDEN)]]
    for name in people.columns.difference(["sub", "ses"]):
        people[name] = numbers_if_all(people[name])
    people["unit"] = people["sub"] + "/" + people.index.astype(str)
    return cohort_attributes(people, fairness=config.fairness, cohort=config.cohort)


def _listed(section: Section, name: str, key: str) -> list[Named]:
    given = key in section.model_fields_set
    return [Named(f"{name}.{key}", column, given) for column in getattr(section, key)]


def _crossed(config: Config | TableConfig) -> list[Named]:
    given = "intersections" in config.fairness.model_fields_set
    return [
        Named("fairness.intersections", name, given)
        for names in config.fairness.intersections
        for name in names
    ]


def _outcomes(protocol: Protocol, measured: Sequence[str]) -> list[str]:
    """Names of outcomes that can stand for quality."""
    from popscan.fairness.outcomes import direction

    scores = [name for name in dictionary.of("scores", protocol) if direction(name) != "neither"]
    of_scores = [f"{name}_{structure}" for name in scores for structure in protocol.labels.codes]
    errors = [f"{name}_{end}" for name in measured for end in ("error", "abs_error")]
    others = [*dictionary.of("recon_scores"), *dictionary.of("segmentation", protocol)]
    return ["dice_mean", *map(str.lower, of_scores), *others, *errors, "predicted_dice"]


def _compare(
    known: Known,
    names: Iterable[Named],
    more: Collection[str],
    *,
    used: bool = False,
    strict: bool = False,
) -> None:
    """Report columns that do not exist or hold nothing; those `used` in models also if constant.

    `strict`: also a default that a study lacks is a problem.
    """
    for named in names:
        name = named.name
        if name in known.table and len(known.table):
            column = known.table[name]
            different = column[[is_recorded(v) and v != MISSING for v in column]].nunique()
            if different == 0 and name not in known.others:
                _tell(known, named, strict, f"{name!r} has no value in {known.what}")
            elif different == 1 and used and name not in known.others:
                known.notes.append(
                    f"{named.key}: {name} is the same for all subjects, so no model uses it."
                )
        elif name not in known.columns and (name not in more or name in _MADE):
            lacking = [n for n in _MADE.get(name, ()) if n not in known.columns]
            why = f"{name!r} is no column of {known.what}"
            if lacking:
                why = f"{name!r} is made of {' and '.join(lacking)}, which {known.what} lacks"
            _tell(known, named, strict, why, [n for n in (*known.columns, *more) if n != name])


def _names(known: Known, names: Iterable[Named], allowed: Collection[str]) -> None:
    """Report names that are not among those allowed."""
    for named in names:
        if named.name not in allowed:
            _tell(known, named, False, f"{named.name!r} cannot be used there", allowed)


def _tell(
    known: Known, named: Named, strict: bool, text: str, allowed: Collection[str] = ()
) -> None:
    if named.given or strict:
        hint = _instead(named.name, allowed) if allowed else ""
        known.problems.append(f"{named.key}: {text}{hint}")
    else:
        known.notes.append(f"{named.key} (default): {text}; it is left out.")


def _instead(name: str, allowed: Collection[str]) -> str:
    """Say what may have been meant, and what exists."""
    close = difflib.get_close_matches(name, allowed, n=3, cutoff=0.6)
    hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
    if len(allowed) > 60:
        return hint
    return f"{hint}; expected one of: {', '.join(sorted(allowed)) or 'none exist'}"


def _check_keys(known: Known, config: Config | TableConfig) -> None:
    """Check columns that are keys of mappings, and reference groups."""
    from popscan.fairness.attributes import CODINGS

    cohort, fairness = config.cohort, config.fairness
    defaults = type(cohort)().plausible
    limits = [n for n in cohort.plausible if n not in defaults]
    for key, names in (
        ("cohort.plausible", limits), ("cohort.categorical", cohort.categorical),
        ("cohort.special_codes", cohort.special_codes),
        ("cohort.reference_group", cohort.reference_group), ("fairness.codings", fairness.codings),
    ):  # fmt: skip
        _compare(known, [Named(key, name, True) for name in names], [])
    tested = [*fairness.attributes, *(_CROSS.join(names) for names in fairness.intersections)]
    for attribute, group in fairness.reference.items():
        key = f"fairness.reference.{attribute}"
        if attribute not in tested:
            known.problems.append(
                f"{key}: {attribute!r} is neither in fairness.attributes nor an intersection"
                + _instead(attribute, tested)
            )
            continue
        parts = attribute.split(_CROSS)
        coding = fairness.codings.get(attribute, {})
        named = CODINGS[coding] if isinstance(coding, str) else coding
        if not len(known.table) or not set(parts) <= set(known.table.columns):
            continue  # it is known once the images are read
        joined = labels(known.table[parts[0]])
        for part in parts[1:]:
            joined = joined + " & " + labels(known.table[part])
        groups = sorted({*joined} - {MISSING})
        if group not in groups and group.casefold() not in map(str.casefold, groups):
            what = "has no subject" if group in named.values() else "is no group"
            known.problems.append(
                f"{key}: {group!r} {what} of {attribute}" + _instead(group, groups)
            )


def check_before_run(given: Mapping[str, object]) -> list[str]:
    """Return what `study_columns` finds wrong with a config as Snakemake has it.

    Parameters
    ----------
    given
        The config before defaults were filled in.
    """
    from popscan.study.listing import read_table_of

    config = Config.model_validate(given)
    if config.experiment.attribute:
        return []
    if wrong := protocol_problems(config):
        return wrong
    try:
        rows = read_table_of(config.model_dump())
    except PopscanError:
        return []  # the plan says so
    return study_columns(config, rows)[0]
