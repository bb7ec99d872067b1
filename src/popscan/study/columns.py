"""Columns and groups that a config names are checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from popscan.config import Atlas, Config, Fairness, TableConfig, protocol_problems
from popscan.fairness.attributes import CODINGS
from popscan.fairness.groups import MISSING, labels, make_groupings
from popscan.nested import mapping_at
from popscan.protocol import Protocol
from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.study import dictionary
from popscan.study.adjusted import adjusted_columns
from popscan.study.cohort import cohort_attributes
from popscan.study.named import (
    MADE_OF,
    Known,
    Named,
    check_columns,
    check_names,
    listed,
    suggestion,
)
from popscan.study.participants import HIDDEN, without_empty
from popscan.study.sizes import size_notes
from popscan.study.tables import numbers_if_all

#: What ingest learns of each scan.
_SCAN = (
    "n_slices", "n_frames", "pixel_spacing_mm", "slice_distance_mm", "manufacturer",
    "field_strength_t", "views",
)  # fmt: skip

#: Kind of source -> columns that it has beside the images.
_OF_SOURCE: Mapping[str, tuple[str, ...]] = {"acdc": ("group", "height_cm", "weight_kg")}

_CROSS = " x "


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
    others += tuple(made for made, of in MADE_OF.items() if set(of) <= {*table.columns, *others})
    known = Known(table=table, others=others, notes=notes)
    if rows is None:
        known.what = f"a study without cohort table (source.kind {kind})"
    protocol = get_protocol(config.protocol)
    measured = [*protocol.biomarkers.columns(), *adjusted_columns(protocol)]
    if protocol.motion is not None and mapping_at(config.stages, "motion").get("enabled"):
        measured += [*protocol.motion.columns()]
    fairness, associate = config.fairness, config.associate
    check_columns(known, listed(fairness, "fairness", "attributes"), [], strict=rows is not None)
    check_columns(known, listed(fairness, "fairness", "adjust_for"), [], used=True)
    check_columns(known, listed(associate, "associate", "terms"), measured, used=True)
    check_columns(known, _crossed(config.fairness, "fairness"), [])
    if fairness.adjust_block:
        check_columns(known, [Named("fairness.adjust_block", fairness.adjust_block, True)], [])
    check_names(known, listed(associate, "associate", "outcomes"), [*measured, *known.columns])
    check_names(known, listed(fairness, "fairness", "biomarkers"), measured)
    quality = [Named("fairness.quality", fairness.quality, True)]
    check_names(known, quality, _outcomes(protocol, measured))
    if config.harmonise.by:
        site = [Named("harmonise.by", config.harmonise.by, True)]
        kept = [Named("harmonise.preserve", name, True) for name in config.harmonise.preserve or ()]
        check_columns(known, [*site, *kept], [], strict=True)
        check_names(known, listed(config.harmonise, "harmonise", "columns"), measured)
    if config.atlas.enabled:
        of = listed(config.atlas, "atlas", "groups")
        check_columns(known, of, [], strict=rows is not None)
        check_columns(known, _crossed(config.atlas, "atlas"), [])
        check_columns(known, listed(config.atlas, "atlas", "effects"), measured, used=True)
        check_names(known, listed(config.atlas, "atlas", "biomarkers"), measured)
    if config.rca.enabled:
        check_columns(known, listed(config.rca, "rca", "balance_by"), [])
    if config.visibility.enabled:
        check_columns(known, listed(config.visibility, "visibility", "attributes"), [])
        check_columns(known, listed(config.visibility, "visibility", "adjust_for"), [], used=True)
    _check_keys(known, config)
    _check_shared(known, config)
    return known.problems, [*known.notes, *size_notes(config, table)]


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
    check_names(
        known, [Named("table.outcomes", n, True) for n in config.table.outcomes], known.columns
    )
    fairness, associate = config.fairness, config.associate
    check_columns(known, listed(fairness, "fairness", "attributes"), [])
    check_columns(known, listed(fairness, "fairness", "adjust_for"), [], used=True)
    check_columns(known, listed(associate, "associate", "terms"), [], used=True)
    check_columns(known, _crossed(config.fairness, "fairness"), [])
    if fairness.adjust_block:
        check_columns(known, [Named("fairness.adjust_block", fairness.adjust_block, True)], [])
    if "outcomes" in associate.model_fields_set:
        check_names(known, listed(associate, "associate", "outcomes"), known.columns)
    _check_keys(known, config)
    _check_shared(known, config)
    return known.problems, [*known.notes, *size_notes(config, attributes)]


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


def _crossed(section: Fairness | Atlas, name: str) -> list[Named]:
    given = "intersections" in section.model_fields_set
    return [
        Named(f"{name}.intersections", column, given)
        for columns in section.intersections
        for column in columns
    ]


def _outcomes(protocol: Protocol, measured: Sequence[str]) -> list[str]:
    """Names of outcomes that can stand for quality."""
    from popscan.fairness.outcomes import direction

    scores = [name for name in dictionary.of("scores", protocol) if direction(name) != "neither"]
    of_scores = [f"{name}_{structure}" for name in scores for structure in protocol.labels.codes]
    errors = [f"{name}_{end}" for name in measured for end in ("error", "abs_error")]
    others = [*dictionary.of("recon_scores"), *dictionary.of("segmentation", protocol)]
    return ["dice_mean", *map(str.lower, of_scores), *others, *errors, "predicted_dice"]


def _check_shared(known: Known, config: Config | TableConfig) -> None:
    """Check columns that may be shown, and that those confirmed are among them."""
    share = config.share
    columns = share.columns or []
    check_columns(known, [Named("share.columns", name, True) for name in columns], [])
    known.problems += [
        f"share.columns_confirmed: {name!r} is not in share.columns, so it is not shown"
        + suggestion(name, columns)
        for name in share.columns_confirmed
        if name not in columns
    ]


def _check_keys(known: Known, config: Config | TableConfig) -> None:
    """Check columns that are keys of mappings, and reference groups."""
    cohort, fairness = config.cohort, config.fairness
    defaults = type(cohort)().plausible
    limits = [n for n in cohort.plausible if n not in defaults]
    for key, names in (
        ("cohort.plausible", limits), ("cohort.categorical", cohort.categorical),
        ("cohort.special_codes", cohort.special_codes),
        ("cohort.reference_group", cohort.reference_group), ("fairness.codings", fairness.codings),
        ("fairness.roles", fairness.roles),
    ):  # fmt: skip
        check_columns(known, [Named(key, name, True) for name in names], [])
    _check_reference_group(known, config)
    known.problems += [
        f"{key}: {name!r}: {_CROSS!r} in a name stands between the attributes of an intersection; "
        "give the column another name"
        for key, names in (
            ("fairness.attributes", fairness.attributes),
            ("fairness.intersections", [n for names in fairness.intersections for n in names]),
        )
        for name in names
        if _CROSS in name
    ]
    tested = [*fairness.attributes, *(_CROSS.join(names) for names in fairness.intersections)]
    for attribute, group in fairness.reference.items():
        key = f"fairness.reference.{attribute}"
        if attribute not in tested:
            known.problems.append(
                f"{key}: {attribute!r} is neither in fairness.attributes nor an intersection"
                + suggestion(attribute, tested)
            )
            continue
        parts = attribute.split(_CROSS)
        coding = fairness.codings.get(attribute, {})
        named = CODINGS[coding] if isinstance(coding, str) else coding
        if not len(known.table) or not set(parts) <= set(known.table.columns):
            continue  # it is known once the images are read
        (made,) = make_groupings(known.table, attributes_to_test=[], intersections=[parts])
        groups = sorted({*made.names} - {MISSING})
        if group not in groups and group.casefold() not in map(str.casefold, groups):
            what = "has no subject" if group in named.values() else "is no group"
            known.problems.append(
                f"{key}: {group!r} {what} of {attribute}" + suggestion(group, groups)
            )


def _check_reference_group(known: Known, config: Config | TableConfig) -> None:
    """Check that somebody is in the group whose slopes adjust for size."""
    for name, group in config.cohort.reference_group.items():
        if not len(known.table) or name not in known.table.columns:
            continue  # it is known once the images are read
        groups = sorted({*labels(known.table[name])} - {MISSING})
        if group.casefold() not in map(str.casefold, groups):
            known.problems.append(
                f"cohort.reference_group.{name}: nobody is {group!r}" + suggestion(group, groups)
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
