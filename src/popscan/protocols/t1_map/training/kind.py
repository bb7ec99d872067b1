"""How models of maps are measured and described: on simulated maps of patients kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.arrays.metrics import dice
from popscan.protocols.t1_map.labels import LABELS
from popscan.protocols.t1_map.segmentation import from_draws
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.draws import Draw, dropout_draws, latent_draws, mirrored_draws
from popscan.segment.hierarchical import Hierarchical
from popscan.segment.known import hash_identifier
from popscan.segment.proof import none_acquired
from popscan.segment.result import Segmentation
from popscan.train.kind import ModelKind
from popscan.train.packs import Case

#: Draws of every map that is measured.
N_DRAWS = 16
_FEW_DRAWS = 1
#: A result is wrong where the wall's mean is off by more than this share, or its Dice is lower.
WRONG_PCT, WRONG_DICE = 5.0, 0.7


def draws_of(bundle: Bundle, how: str = "") -> list[Draw]:
    """Return draws of a bundle: ``latent``, ``dropout`` or ``mirrored``; by default what it has."""
    drawing = isinstance(bundle.networks[0], Hierarchical)
    how = how or ("latent" if drawing else "mirrored")
    if how == "latent":
        return list(latent_draws(bundle, N_DRAWS))
    return list(dropout_draws(bundle, N_DRAWS) if how == "dropout" else mirrored_draws(bundle))


def segmented(scan: Scan, *, bundle: Bundle, features: bool = False) -> Segmentation:
    """Segment a map with any bundle by one draw, for the detector of unlike maps."""
    draws = draws_of(bundle)[:_FEW_DRAWS]
    return from_draws(scan, bundle=bundle, draws=draws, features=features)


def measured(case: Case, found: Segmentation) -> dict[str, Any]:
    """Return how right a segmentation of a map is, and what it says of itself.

    Returns
    -------
    dict
        ``unit``, the case's attributes; per region ``dice_NAME``, ``found_NAME_ms``,
        ``expert_NAME_ms`` (the same map in the expert's regions), ``true_NAME_ms`` (the simulated
        times there, NaN of acquired maps), the columns of `COLUMNS`; ``error_pct`` of the wall
        against the expert's, and ``wrong``.
    """
    truth, labels = case.labels.array[..., 0], found.labels[..., 0]
    map_ms = np.where(case.scan.array[..., 0] > 0, case.scan.array[..., 0], np.nan)
    time = case.scan.meta.get("time_ms")  # of simulated maps alone
    row: dict[str, Any] = {"unit": case.unit, **case.attributes}
    for code, name in LABELS.names.items():
        own, given = labels == code, truth == code
        row |= {
            f"dice_{name}": dice(labels, truth, code),
            f"found_{name}_ms": _mean(map_ms[own]), f"expert_{name}_ms": _mean(map_ms[given]),
            f"true_{name}_ms": math.nan if time is None else _mean(time[given]),
        }  # fmt: skip
    row |= dict(found.values)
    off = 100.0 * (row["found_wall_ms"] / row["expert_wall_ms"] - 1.0)
    row["error_pct"] = off
    row["wrong"] = not (abs(off) <= WRONG_PCT and row["dice_wall"] >= WRONG_DICE)
    return row


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def score(cases: Sequence[Case], *, bundle: Bundle, how: str = "") -> pd.DataFrame:
    """Return a row of `measured` for every map."""
    draws = draws_of(bundle, how)
    return pd.DataFrame(
        [measured(case, from_draws(case.scan, bundle=bundle, draws=draws)) for case in cases]
    )


def agreement(table: pd.DataFrame) -> dict[str, float]:
    """Return Dice, correlation with the expert's regions and share of wrong results of a table."""
    both = table[["found_wall_ms", "expert_wall_ms"]].dropna()
    r = both["found_wall_ms"].corr(both["expert_wall_ms"]) if len(both) > 2 else math.nan
    return {
        "maps": len(table),
        "dice_wall": round(float(table["dice_wall"].mean()), 4),
        "dice_lv_blood": round(float(table["dice_lv_blood"].mean()), 4),
        "dice_rv_blood": round(float(table["dice_rv_blood"].mean()), 4),
        "r_wall": round(float(r), 4),
        "wrong_pct": round(100.0 * float(table["wrong"].mean()), 2),
    }


def measure(
    cases: Sequence[Case],
    *,
    bundle: Bundle,
    flips: bool,
    salt: str,
    stratum: str,
    name_validation: bool,
) -> dict[str, Any]:
    """Return a bundle's validation section; `flips` is not used: draws are averaged.

    ``simulated_only`` is false only where the attribute ``source`` of every case is ``acquired``.
    """
    table = score(cases, bundle=bundle)
    subjects = sorted({case.subject for case in cases})
    groups = table.groupby(stratum) if stratum in table else ()
    return {
        "validation": {
            "n_subjects": len(subjects),
            "sha256": [hash_identifier(s, salt=salt) for s in subjects],
            "simulated_only": none_acquired(case.attributes for case in cases),
            **({"subjects": subjects} if name_validation else {}),
            "by_structure": [
                {
                    "structure": name,
                    "dice_mean": round(float(table[f"dice_{name}"].mean()), 4),
                    "dice_lowest": round(float(table[f"dice_{name}"].fillna(0.0).min()), 4),
                }
                for name in LABELS.names.values()
            ],
            "all": agreement(table),
            "by_stratum": [{"stratum": str(k), **agreement(part)} for k, part in groups],
        }
    }


def ranges(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Return the range of the training maps' in-plane spacings."""
    inplane = [s for case in cases for s in case.scan.spacing_mm[:2]]
    return {"inplane_mm": [round(min(inplane), 3), round(max(inplane), 3)]}


KIND = ModelKind(
    measure=measure, ranges=ranges, card=Path(__file__).parent / "card.md.j2", segmenter=segmented,
)  # fmt: skip
