"""Who is in the atlas, and in which groups: a small file that every shard's sums are made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.config import Atlas
from popscan.disk import write_atomic
from popscan.records import PopscanError
from popscan.study.study import Study


def write_members(study_root: Path, options: Mapping[str, object], output: Path) -> None:
    """Write who is analysed, and the groups of each, as the atlas counts them.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    options
        Config sections study, atlas, fairness and cohort.
    output
        A parquet file: unit, and a column per attribute; empty where nothing was recorded.
    """
    study = Study.of_tables(study_root, options)
    section = Atlas.of(options)
    crossed = [name for combined in section.intersections for name in combined]
    groups = study.groups([*dict.fromkeys([*section.groups, *crossed])])
    members = groups[groups.index.isin(study.analysed)].rename_axis("unit").reset_index()
    write_atomic(output, members.to_parquet(index=False))


def read_members(path: Path, options: Mapping[str, object]) -> dict[str, list[str]]:
    """Read the groups of everybody who is analysed: ``sex=female``, then combinations.

    Parameters
    ----------
    path
        As `write_members` made it.
    options
        With the config section atlas.

    Returns
    -------
    dict
        Unit -> groups in the config's order; a combination of which a part was not recorded is
        left out.
    """
    try:
        members = pd.read_parquet(path).set_index("unit")
    except (OSError, ValueError, KeyError) as error:
        raise PopscanError(f"{path}: not the list of the atlas's subjects ({error})") from error
    section = Atlas.of(options)
    wanted = [[name] for name in section.groups] + section.intersections
    known = [names for names in wanted if set(names) <= set(members.columns)]
    return {
        str(unit): [
            ", ".join(f"{name}={row[name]}" for name in names)
            for names in known
            if all(row[name] for name in names)
        ]
        for unit, row in members.to_dict("index").items()
    }
