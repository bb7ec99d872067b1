"""Maps of how attributes and biomarkers go with local volume, over the subjects of the atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.atlas.effects import Effect, voxel_effect
from popscan.config import Atlas, study_seed
from popscan.protocol import AtlasFrame
from popscan.stages.atlas.columns import EFFECTS
from popscan.stages.atlas.differences import Compared, write_map
from popscan.stages.atlas.stored import save_arrays
from popscan.stats.design import Design, build
from popscan.stats.linear import LeastSquares
from popscan.study.study import Study

#: A row of the table.
Row = dict[str, float | str]
#: Rows of the regression per column, at least.
_ROWS_PER_COLUMN = 2
#: Voxels of smaller q count as significant.
SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Volumes:
    """Logarithms of local volume of the subjects that enter the maps, (n, voxels)."""

    units: list[str]
    values: NDArray[np.float16]
    organ: NDArray[np.bool_]


def write_effects(
    study: Study, compared: Compared, frame: AtlasFrame, options: Mapping[str, object]
) -> pd.DataFrame:
    """Write a map of each term's effect on local volume, and return a row of each.

    Parameters
    ----------
    study
        Its attributes and biomarkers.
    compared
        Of the last round.
    frame
        The protocol's.
    options
        With the config sections study and atlas.

    Returns
    -------
    DataFrame
        Columns of `EFFECTS`; a term without a map has a note. Empty without terms or where no round
        registered.
    """
    section = Atlas.of(options)
    if not (section.effects or section.biomarkers):
        return pd.DataFrame(columns=[*EFFECTS])
    volumes = _volumes(study, compared, section, seed=study_seed(options))
    if volumes is None:
        return pd.DataFrame(columns=[*EFFECTS])
    table = study.attributes.reindex(volumes.units)
    measured = study.biomarkers.set_index("unit").reindex(volumes.units)
    for name in [*section.effects, *section.biomarkers]:
        if name in measured or name in section.biomarkers:  # measured counts, as in `associate`
            table[name] = measured.get(name, np.nan)
    rows: list[Row] = []
    maps: dict[str, NDArray[np.generic]] = {"organ": volumes.organ}
    n_maps = 0
    folder = study.root / "atlas"
    for further in ["", *section.biomarkers]:
        terms = [*section.effects, *([further] if further else [])]
        for row, effect in _one_model(table, terms, further, volumes, section.min_n):
            rows.append(row)
            if effect is None:
                continue
            n_maps += 1
            stem = f"effect-{n_maps:02d}"
            for name in ("estimate", "t", "q"):
                values = getattr(effect, name)
                maps[f"{row['term']}|{name}"] = values.astype(np.float32)
                write_map(
                    folder / f"{stem}_{name}.nii.gz", values, volumes.organ, compared.grid, frame
                )
            row["files"] = f"{stem}_*.nii.gz"
    save_arrays(folder / "maps" / "effects.npz", maps)
    return pd.DataFrame(rows, columns=[*EFFECTS])


def _volumes(study: Study, compared: Compared, section: Atlas, *, seed: int) -> Volumes | None:
    """Read one visit of each subject, of large studies of a random part of them."""
    first = set(map(str, study.analysed_once.index))
    there = sorted(unit for unit in compared.units() if unit in first)
    if len(there) > section.max_map_subjects:
        rng = np.random.default_rng(seed)
        there = sorted(rng.choice(there, section.max_map_subjects, replace=False).tolist())
    wanted, units, parts, organ = set(there), [], [], None
    for names, log_jacobian, where in compared.volumes():
        rows = [row for row, unit in enumerate(names) if unit in wanted]
        units += [names[row] for row in rows]
        parts.append(log_jacobian[rows])
        organ = where
    if organ is None or not units:
        return None
    return Volumes(units=units, values=np.concatenate(parts), organ=organ)


def _one_model(
    table: pd.DataFrame, terms: Sequence[str], further: str, volumes: Volumes, min_n: int
) -> list[tuple[Row, Effect | None]]:
    """Fit one design; only the coefficients of `further` are shown where that is given."""
    shown = {further} if further else set(terms)
    design = build(table, terms=terms, categorical=(), complete=pd.Series(True, index=table.index))
    lost = [*_without_value(design), *design.general]
    made: list[tuple[Row, Effect | None]] = [
        (_row(name, (), 0, "; ".join([why, *design.general])), None)
        for name, why in design.dropped.items()
        if design.sources.get(name, name) in shown
    ]
    matrix = design.matrix
    least = max(min_n, _ROWS_PER_COLUMN * matrix.shape[1])
    names = [name for name, source in design.sources.items() if source in shown]
    squares = LeastSquares(matrix.to_numpy(dtype=np.float64))
    place_of = {str(name): place for place, name in enumerate(matrix.columns)}
    chosen = volumes.values[table.index.get_indexer(matrix.index)]
    for name in names:
        others = tuple(one for one in design.used if one != design.sources[name])
        if name not in place_of:
            continue
        caution = [one for one in (design.notes.get(name, ""), *lost) if one]
        row = _row(name, others, len(matrix), "; ".join(caution))
        if len(matrix) < least:
            few = f"{len(matrix)} subjects: a map needs {least} or more"
            made.append(({**row, "note": "; ".join([few, *lost])}, None))
            continue
        effect = voxel_effect(chosen, squares, place_of[name])
        made.append((row | _numbers(effect), effect))
    return made


def _without_value(design: Design) -> list[str]:
    """Say how many subjects are left out for a column in which they have no value."""
    counts = [f"{name} ({n})" for name, n in design.missing.items() if n and name in design.used]
    return [f"left out without a value: {', '.join(counts)}"] if counts else []


def _row(term: str, others: Sequence[str], n: int, note: str) -> Row:
    empty: Row = {name: np.nan for name, column in EFFECTS.items() if column.kind == "number"}
    return {
        **empty,
        "term": term,
        "adjusted_for": ", ".join(others),
        "n": n,
        "files": "",
        "note": note,
    }


def _numbers(effect: Effect) -> Row:
    known = np.isfinite(effect.q)
    if not known.any():
        return {"df": effect.freedom, "voxels": 0}
    furthest = int(np.nanargmax(np.abs(effect.t)))
    return {
        "df": effect.freedom,
        "voxels": int(known.sum()),
        "significant_pct": float(100 * (effect.q[known] < SIGNIFICANT).mean()),
        "mean_effect_pct": float(100 * np.nanmean(effect.estimate)),
        "largest_t": float(effect.t[furthest]),
        "smallest_q": float(np.nanmin(effect.q)),
    }
