"""Sizes that a config names, against how many subjects there are: what nobody could be in."""

from __future__ import annotations

import pandas as pd

from popscan.config import Config, TableConfig
from popscan.fairness.attributes import bands
from popscan.fairness.groups import MISSING


def size_notes(config: Config | TableConfig, table: pd.DataFrame) -> list[str]:
    """Say which sizes and bands leave nothing to show.

    Parameters
    ----------
    config
        As read from its file.
    table
        Attributes of the subjects, a row each.

    Returns
    -------
    list of str
        A sentence per key; empty where nobody is known yet.
    """
    n = len(table)
    subjects = "1 subject" if n == 1 else f"{n} subjects"
    if not n:
        return []
    sizes = [
        ("fairness.min_group", config.fairness.min_group, "all groups count as too few"),
        ("report.min_cell", config.report.min_cell, "no count is shared"),
        ("associate.min_n", config.associate.min_n, "no regression is made"),
    ]
    if isinstance(config, Config) and config.atlas.enabled:
        sizes.append(("atlas.min_group", config.atlas.min_group, "no group gets an atlas"))
    found = [
        f"{key}: {smallest} is more than the {subjects}, so {what}."
        for key, smallest, what in sizes
        if smallest > n
    ]
    if config.share.rounding > n:
        found.append(
            f"share.rounding: counts are rounded to multiples of {config.share.rounding}, which is "
            f"more than the {subjects}, so all are shown as 0 or {config.share.rounding}."
        )
    return [*found, *_band_notes(config, table)]


def _band_notes(config: Config | TableConfig, table: pd.DataFrame) -> list[str]:
    """Say which bands of age hold nobody, and whether one holds everybody."""
    if "age_band" not in table or "age_years" not in table:
        return []
    limits = config.fairness.age_bands_years
    names = bands(pd.Series(limits, dtype=float), limits=limits).tolist()
    held = set(table["age_band"]) - {MISSING}
    if not held:
        return []
    key = "fairness.age_bands_years"
    if len(held) == 1 and len(names) > 1:
        return [f"{key}: all ages are in the band {held.pop()!r}, so it compares nobody."]
    empty = [name for name in names if name not in held]
    if not empty or "age_bands_years" not in config.fairness.model_fields_set:
        return []
    return [f"{key}: nobody is in {', '.join(map(repr, empty))}."]
