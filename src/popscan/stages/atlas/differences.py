"""Every subject against its own and the other groups of the atlas: numbers and maps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.atlas import ALL, AtlasGrid
from popscan.atlas.differences import (
    MIN_OTHERS,
    Differences,
    Moments,
    normal_scores,
    shape_distance_mm,
)
from popscan.config import Atlas
from popscan.protocol import AtlasFrame, load
from popscan.records import Scan
from popscan.stages.atlas.members import Levels, read_levels, read_members
from popscan.stages.atlas.stored import save_arrays

#: A voxel is unusual beyond this z-score.
BEYOND = 3.0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was kept of the last round: who, in which groups, and where its shards lie.

    Attributes
    ----------
    paths
        The sums of every shard of the last round.
    groups
        Unit -> its groups; None for further visits of a subject, which are in no average.
    levels
        Group -> column and level of each of its attributes.
    grid
        Of the atlas.
    """

    paths: tuple[Path, ...]
    groups: Mapping[str, Sequence[str] | None]
    levels: Mapping[str, Levels]
    grid: AtlasGrid

    @classmethod
    def of_round(
        cls, study_root: Path, template: Path, grid: AtlasGrid, options: Mapping[str, object]
    ) -> Compared:
        """Return what the round that ends in `template` left."""
        work = study_root / "atlas" / "work"
        folder = work / template.stem.replace("template-", "sums-")
        members = work / "members.parquet"
        return cls(
            paths=tuple(sorted(folder.glob("*.npz"))),
            groups=read_members(members, options),
            levels=read_levels(members, options),
            grid=grid,
        )

    def shards(self) -> Iterator[tuple[str, list[str], Differences]]:
        """Yield shard, units and differences; none where the last round did not register."""
        for path in self.paths:
            with np.load(path, allow_pickle=False) as stored:  # sums, the most of it, stay unread
                names = [n for n in stored.files if n.startswith("differences_") or n == "units"]
                arrays = {name: stored[name] for name in names}
            found = Differences.from_arrays(arrays)
            if found is not None:
                yield path.stem, [str(unit) for unit in arrays["units"]], found

    def volumes(self) -> Iterator[tuple[list[str], NDArray[np.float16], NDArray[np.bool_]]]:
        """Yield units, log-Jacobians and organ of every shard; displacements stay unread."""
        for path in self.paths:
            with np.load(path, allow_pickle=False) as stored:
                if "differences_log_jacobian" not in stored.files:
                    continue
                units = [str(unit) for unit in stored["units"]]
                yield units, stored["differences_log_jacobian"], stored["differences_organ"]

    def units(self) -> Iterator[str]:
        """Yield the units that were registered in the last round; nothing else is read."""
        for path in self.paths:
            with np.load(path, allow_pickle=False) as stored:
                if "differences_log_jacobian" in stored.files:
                    yield from map(str, stored["units"])

    def _averaged_in(self, unit: str) -> tuple[str, ...]:
        groups = self.groups.get(unit, ())
        return () if groups is None else (ALL, *groups)

    def moments(self) -> dict[str, Moments]:
        """Return the sums of every group and of all."""
        sums: dict[str, Moments] = {}
        for _, units, found in self.shards():
            names = [self._averaged_in(unit) for unit in units]
            for group in sorted({name for several in names for name in several}):
                rows = [row for row, several in enumerate(names) if group in several]
                one = Moments.of(found.log_jacobian[rows], found.displacement_mm[rows])
                sums[group] = sums[group] + one if group in sums else one
        return sums


def write_differences(
    study_root: Path, compared: Compared, frame: AtlasFrame, options: Mapping[str, object]
) -> pd.DataFrame:
    """Write every subject's maps, and return its numbers.

    Parameters
    ----------
    study_root
        ``results/<study>``; ``atlas/maps/SHARD.npz`` get z-scores within the organ.
    compared
        Of the last round.
    frame
        The protocol's.
    options
        With the config section atlas.

    Returns
    -------
    DataFrame
        Indexed by unit: columns of `popscan.stages.atlas.columns` from ``atlas_own_distance_mm``
        on; empty where no round registered. Further visits of a subject have no numbers.
    """
    section = Atlas.of(options)
    folder = study_root / "atlas" / "maps"
    shutil.rmtree(folder, ignore_errors=True)  # of who was in an earlier atlas
    moments = compared.moments()
    rows = []
    for shard, units, found in compared.shards():
        scores = np.full(found.log_jacobian.shape, np.nan, np.float16)
        for row, unit in enumerate(units):
            mine = found.log_jacobian[row], found.displacement_mm[row]
            own = compared.groups.get(unit, ())
            if own is None:  # its subject is among those that it would be compared with
                rows.append(_not_compared(unit))
                continue
            group = _compared_with(own, moments, compared.levels, min_group=section.min_group)
            others = moments[group].without(*mine)
            scores[row] = normal_scores(mine[0], others)
            rows.append(
                {
                    "unit": unit,
                    **_distances(mine, own, moments, compared.levels),
                    "atlas_z_group": group if others.n >= MIN_OTHERS else "",
                    "atlas_z_n": float(others.n),
                    "atlas_z_beyond_pct": _beyond_pct(scores[row]),
                }
            )
            if section.subject_maps:
                _write_maps(folder, unit, found, row, scores[row], compared.grid, frame)
        save_arrays(
            folder / f"{shard}.npz",
            {"units": np.array(units, dtype=np.str_), "organ": found.organ, "z": scores},
        )
    return pd.DataFrame(rows).set_index("unit") if rows else pd.DataFrame()


def _not_compared(unit: str) -> dict[str, float | str]:
    numbers = dict.fromkeys(
        ("atlas_own_distance_mm", "atlas_others_distance_mm", "atlas_z_beyond_pct"), float("nan")
    )
    return {"unit": unit, "atlas_z_group": "", "atlas_z_n": 0.0, **numbers}


def _compared_with(
    own: Sequence[str],
    moments: Mapping[str, Moments],
    levels: Mapping[str, Levels],
    *,
    min_group: int,
) -> str:
    """Return the narrowest of a subject's groups that is large enough; all if none is."""
    large = [name for name in own if moments[name].n > max(min_group, MIN_OTHERS)]
    return max(large, key=lambda name: len(levels[name]), default=ALL)


def _distances(
    mine: tuple[NDArray[np.float16], NDArray[np.float16]],
    own: Sequence[str],
    moments: Mapping[str, Moments],
    levels: Mapping[str, Levels],
) -> dict[str, float]:
    column = {name: several[0][0] for name, several in levels.items() if len(several) == 1}
    single = [name for name in own if name in column]
    mine_of = {column[name] for name in single}
    others = [name for name in moments if column.get(name) in mine_of and name not in single]
    nearest = [shape_distance_mm(mine[1], moments[name].without(*mine)) for name in single]
    further = [shape_distance_mm(mine[1], moments[name]) for name in others]
    return {
        "atlas_own_distance_mm": _mean(nearest),
        "atlas_others_distance_mm": _mean(further),
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _beyond_pct(scores: NDArray[np.float16]) -> float:
    known = scores[np.isfinite(scores)]
    return float(100 * (np.abs(known) > BEYOND).mean()) if known.size else float("nan")


def on_grid(values: NDArray[np.floating], organ: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values of the organ's voxels on the atlas grid; NaN around it."""
    filled = np.full(organ.shape, np.nan, np.float32)
    filled[organ] = values
    return filled


def write_map(
    path: Path,
    values: NDArray[np.floating],
    organ: NDArray[np.bool_],
    grid: AtlasGrid,
    frame: AtlasFrame,
) -> None:
    """Write values of the organ's voxels as NIfTI; 0 elsewhere and where they are undefined."""
    from popscan.io.nifti import write_scan

    array = np.nan_to_num(on_grid(values, organ), posinf=0.0, neginf=0.0)[..., np.newaxis]
    affine = load(frame.affine)(grid)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scan(path, Scan(array=array, affine=affine, spacing_mm=grid.spacing, view="atlas"))


def _write_maps(
    folder: Path,
    unit: str,
    found: Differences,
    row: int,
    scores: NDArray[np.float16],
    grid: AtlasGrid,
    frame: AtlasFrame,
) -> None:
    for name, values in (("z", scores), ("log-jacobian", found.log_jacobian[row])):
        write_map(folder / f"{unit}_{name}.nii.gz", values, found.organ, grid, frame)
