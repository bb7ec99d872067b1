"""What cross-fitted networks made of their patients, as two tables in a folder.

``errors.tsv`` has a row per scan (clean or spoilt) with the errors of every quantity,
``frames.tsv`` one per structure and frame with Dice and the features that it is predicted from.
From them a bundle is calibrated on every labelled patient (module ``calibrate``),
without the networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.cells import WRITTEN
from popscan.disk import write_atomic
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.training.observe import Observed
from popscan.records import PopscanError
from popscan.segment.expected import FEATURES
from popscan.segment.known import subject_of

ERRORS, FRAMES = "errors.tsv", "frames.tsv"
_KEYS = ("unit", "corruption", "severity")
#: Largest file that is read.
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class CrossFitted:
    """Observations by networks that never saw the patient.

    Attributes
    ----------
    seen
        Clean and spoilt scans.
    fold
        Of every entry of `seen`.
    recipe
        What was trained, in words.
    """

    seen: tuple[Observed, ...]
    fold: tuple[int, ...]
    recipe: str

    @property
    def clean(self) -> list[Observed]:
        """The scans as they are."""
        return [o for o in self.seen if o.severity == 0]

    def summary(self) -> dict[str, Any]:
        """Return patients, folds and recipe, for the bundle that is calibrated from it."""
        return {
            "patients": len({subject_of(o.unit) for o in self.seen}),
            "folds": len(set(self.fold)),
            "recipe": self.recipe,
        }


def write_cross_fitted(folder: Path, found: CrossFitted) -> None:
    """Write both tables."""
    errors, frames = [], []
    for observed, fold in zip(found.seen, found.fold, strict=True):
        own = {key: getattr(observed, key) for key in _KEYS}
        errors.append(
            own
            | {"fold": fold, "recipe": found.recipe}
            | {f"error_{name}": observed.errors[name] for name in QUANTITIES}
            | {f"spread_{name}": observed.spreads[name] for name in QUANTITIES}
        )
        for name in STRUCTURES.values():
            for frame, (row, dice) in enumerate(
                zip(observed.features[name], observed.dice[name], strict=True)
            ):
                values = dict(zip(FEATURES, row, strict=True))
                frames.append(own | {"structure": name, "frame": frame, "dice": dice} | values)
    folder.mkdir(parents=True, exist_ok=True)
    for file, rows in ((ERRORS, errors), (FRAMES, frames)):
        text = pd.DataFrame(rows).round(6).to_csv(sep="\t", index=False, na_rep=WRITTEN)
        write_atomic(folder / file, text.encode())


def read_cross_fitted(folder: Path) -> CrossFitted:
    """Read both tables.

    Raises
    ------
    PopscanError
        If one is absent, too large, or lacks a column, or holds what is no number.
    """
    errors = _table(
        folder / ERRORS,
        texts=("unit", "corruption", "recipe"),
        numbers=(
            "severity",
            "fold",
            *(f"{kind}_{name}" for kind in ("error", "spread") for name in QUANTITIES),
        ),
    )
    frames = _table(
        folder / FRAMES,
        texts=("unit", "corruption", "structure"),
        numbers=("severity", "frame", "dice", *FEATURES),
    )
    scans = dict(list(frames.groupby(list(_KEYS), sort=False)))
    seen = []
    for row in errors.to_dict("records"):
        key = tuple(row[k] for k in _KEYS)
        if key not in scans:
            raise PopscanError(f"{folder / FRAMES}: no rows of {row['unit']} {row['corruption']}")
        seen.append(_observed({str(k): v for k, v in row.items()}, scans[key]))
    if len({(o.unit, o.corruption, o.severity) for o in seen}) < len(seen):
        raise PopscanError(f"{folder / ERRORS}: a scan has more than one row")
    return CrossFitted(
        seen=tuple(seen),
        fold=tuple(int(k) for k in errors["fold"]),
        recipe=str(errors["recipe"].iloc[0]),
    )


def _observed(row: Mapping[str, Any], frames: pd.DataFrame) -> Observed:
    by = {
        name: frames[frames["structure"] == name].sort_values("frame")
        for name in STRUCTURES.values()
    }
    nothing = np.zeros((len(Label), len(Label)))
    return Observed(
        unit=row["unit"],
        corruption=row["corruption"],
        severity=int(row["severity"]),
        errors={name: float(row[f"error_{name}"]) for name in QUANTITIES},
        spreads={name: float(row[f"spread_{name}"]) for name in QUANTITIES},
        features={name: part[list(FEATURES)].to_numpy(dtype=float) for name, part in by.items()},
        dice={name: part["dice"].to_numpy(dtype=float) for name, part in by.items()},
        confusion=nothing,
        expected=nothing,
        probabilities=np.zeros((0, len(Label)), np.float32),
        truth=np.zeros(0, np.uint8),
        labels=np.zeros(0, np.uint8),
    )


def _table(path: Path, *, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise PopscanError(f"{path}: {size} bytes; at most {_MAX_BYTES} are read")
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise PopscanError(f"{path}: no readable table of a cross-fitting ({error})") from error
    if missing := [c for c in (*texts, *numbers) if c not in table]:
        raise PopscanError(f"{path}: lacks the columns {', '.join(missing[:5])}")
    if table.empty:
        raise PopscanError(f"{path}: holds no row")
    for column in numbers:
        try:
            found = table[column].mask(table[column].isin(["", WRITTEN])).astype(float)
        except ValueError as error:
            raise PopscanError(f"{path}: {column}: numbers are expected ({error})") from error
        if column in ("severity", "fold", "frame") and not (found % 1 == 0).all():
            raise PopscanError(f"{path}: {column}: whole numbers are expected")
        table[column] = found.where(np.abs(found) < math.inf)
    return table[[*texts, *numbers]]
