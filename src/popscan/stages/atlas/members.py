"""Who is in the atlas, and in which groups: a small file that every shard's sums are made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.config import Atlas
from popscan.disk import write_atomic
from popscan.records import PopscanError
from popscan.study.study import Study

#: Column and level of each attribute of a group.
Levels = tuple[tuple[str, str], ...]

#: Column of the file that no attribute can be called.
_COUNTED = "|counted"


def write_members(study_root: Path, options: Mapping[str, object], output: Path) -> None:
    """Write who is analysed, and the groups of each, as the atlas counts them.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    options
        Config sections study, atlas, fairness and cohort.
    output
        A parquet file: unit, a column per attribute (empty where nothing was recorded), and whether
        the unit is its subject's first analysed visit, which alone is averaged.
    """
    study = Study.of_tables(study_root, options)
    section = Atlas.of(options)
    crossed = [name for combined in section.intersections for name in combined]
    groups = study.groups([*dict.fromkeys([*section.groups, *crossed])])
    members = groups[groups.index.isin(study.analysed)].rename_axis("unit").reset_index()
    members[_COUNTED] = members["unit"].isin(study.analysed_once.index)
    write_atomic(output, members.to_parquet(index=False))
    read_levels(output, options)  # two groups of one name end here, before anything is registered


def read_members(path: Path, options: Mapping[str, object]) -> dict[str, list[str] | None]:
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
        left out. None for further visits of a subject.
    """
    return {
        unit: None if groups is None else [name_of(one) for one in groups]
        for unit, groups in _read(path, options).items()
    }


def read_levels(path: Path, options: Mapping[str, object]) -> dict[str, Levels]:
    """Return the attributes of every group by its name, in which levels may hold any character.

    Raises
    ------
    PopscanError
        If two groups have the same name.
    """
    found: dict[str, Levels] = {}
    for groups in _read(path, options).values():
        for levels in groups or ():
            name = name_of(levels)
            if found.setdefault(name, levels) != levels:
                raise PopscanError(
                    f"two groups of the atlas are called {name!r}; give a level another name"
                )
    return found


def name_of(levels: Levels) -> str:
    """Return a group's name: ``sex=female, site=north``."""
    return ", ".join(f"{column}={level}" for column, level in levels)


def _read(path: Path, options: Mapping[str, object]) -> dict[str, list[Levels] | None]:
    try:
        members = pd.read_parquet(path).set_index("unit")
    except (OSError, ValueError, KeyError) as error:
        raise PopscanError(f"{path}: not the list of the atlas's subjects ({error})") from error
    counted = members.pop(_COUNTED) if _COUNTED in members else pd.Series(True, members.index)
    further = {str(unit) for unit in members.index[~counted.to_numpy(dtype=bool)]}
    section = Atlas.of(options)
    wanted = [[name] for name in section.groups] + section.intersections
    known = [names for names in wanted if set(names) <= set(members.columns)]
    found: dict[str, list[Levels] | None] = {}
    for key, row in members.to_dict("index").items():
        groups = [
            tuple((name, str(row[name])) for name in names)
            for names in known
            if all(row[name] for name in names)
        ]
        found[str(key)] = None if str(key) in further else groups
    return found
