"""A study that is prepared for the atlas, small enough to be built within a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.atlas import Prepared
from popscan.atlas.cycle import Cycle
from popscan.config import Config
from popscan.protocols.cine_sax.atlas import heart_grid
from popscan.records import Status
from popscan.stages import STAGES
from popscan.stages.atlas.job import map_shard, reduce_round
from popscan.stages.atlas.members import write_members
from popscan.stages.atlas.results import write_atlas
from popscan.stages.atlas.stored import joined_arrays, save_arrays
from popscan.study.accounts import Account
from popscan.study.tables import read_table

GRID = heart_grid(spacing_mm=8.0)
#: Units of two shards; women and men alternate, sizes grow.
FIRST, SECOND = [f"sub-{i:02d}" for i in range(10)], [f"sub-{i:02d}" for i in range(10, 20)]
ATLAS = {
    "groups": ["sex", "site"], "intersections": [["sex", "site"]], "iterations": 2,
    "min_group": 4, "spacing_mm": 8.0, "effects": ["height_cm", "sex"], "biomarkers": ["lvef_pct"],
    "min_n": 12, "subject_maps": True, "n_phases": 3,
}  # fmt: skip


def options(**atlas: Any) -> dict[str, Any]:
    config = {"source": {"kind": "bids"}, "atlas": {**ATLAS, **atlas}}
    return {**Config.model_validate(config).model_dump(), "version": "1"}


def given_to(step: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return what the workflow gives a step of the atlas."""
    further = {name: config[name] for name in ("version", "protocol")}
    return {**STAGES[step].sections_of(config), **further}


def number_of(unit: str) -> int:
    """Return 3 of ``sub-03_ses-1``."""
    return int(unit[4:6])


def heart(number: int) -> Prepared:
    """Two shells and a ball beside them, larger in the later numbers."""
    size = 1.0 + 0.012 * number + 0.02 * (number % 3)
    where = (np.indices(GRID.shape) * 8.0 - np.reshape(GRID.centre_mm, (3, 1, 1, 1))) / size
    radius = np.linalg.norm(where, axis=0)
    beside = np.linalg.norm(where + np.reshape([48.0, 0, 0], (3, 1, 1, 1)), axis=0)

    def soft(distance: Any, edge: float) -> Any:
        return 1 / (1 + np.exp((distance - edge) / 3.0))

    lv, outer = soft(radius, 24.0), soft(radius, 34.0)
    rv = np.minimum(soft(beside, 22.0), 1 - outer)
    labels = np.stack([rv, outer - lv, lv]).astype(np.float32)
    image = (lv + 0.8 * rv).astype(np.float32)
    smaller = soft(radius, 18.0)
    systole = np.stack([rv, outer - smaller, smaller])
    cycle = Cycle.of_maps(np.stack([labels, systole, labels]), np.stack([image] * 3))
    return Prepared(
        grid=GRID, image=image, inside=np.ones(GRID.shape, bool), labels=labels,
        to_world=np.eye(4), coverage=1.0, cycle=cycle if number != 3 else None,
    )  # fmt: skip


class Study:
    """A study whose subjects are measured, and prepared for the atlas."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, root / "atlas" / "work"
        (root / "tables").mkdir(parents=True)
        (root / "plan").mkdir()

    def subjects(self, shards: dict[str, list[str]], **columns: list[Any]) -> None:
        """Measure and prepare subjects; `columns` of the cohort table, one value per unit."""
        units = [unit for several in shards.values() for unit in several]
        number = [number_of(unit) for unit in units]
        people = pd.DataFrame({
            "unit": units, "sub": [unit.partition("_ses-")[0] for unit in units],
            "ses": [f"ses-{unit[-1]}" if "_ses-" in unit else "" for unit in units],
            "sex": ["female" if n % 2 else "male" for n in number],
            "site": ["north" if n % 4 < 2 else "south" for n in number],
            "height_cm": [160.0 + 2 * n + 3 * (n % 3) for n in number],
        }).assign(**columns)  # fmt: skip
        measured = pd.DataFrame(
            {"unit": units, "analysed": True, "lvef_pct": [55.0 + (7 * n) % 11 for n in number]}
        )
        verdicts = pd.DataFrame({"unit": units, "verdict": "pass", "failed": "", "review": ""})
        for name, table in (("participants", people), ("biomarkers", measured), ("qc", verdicts)):
            table.to_parquet(self.root / "tables" / f"{name}.parquet", index=False)
        ledger = pd.DataFrame({
            "unit": units, "stage": "biomarkers", "status": "ok", "reason": "", "message": "",
        })  # fmt: skip
        ledger.to_parquet(self.root / "tables" / "ledger.parquet", index=False)
        for old in self.work.glob("prepared/*.npz"):
            old.unlink()
        for shard, several in shards.items():
            account = Account()
            for unit in several:
                account.add(unit, Status.OK)
            parts = [("|grid", GRID.to_arrays())]
            parts += [(unit, heart(number_of(unit)).to_arrays()) for unit in several]
            save_arrays(
                self.work / "prepared" / f"{shard}.npz",
                joined_arrays(parts) | account.to_arrays(),
            )
        self.shards = list(shards)

    def build(self, **atlas: Any) -> None:
        given = options(**atlas)
        members = self.work / "members.parquet"
        write_members(self.root, given_to("atlas_subjects", given), members)
        template = None
        for iteration in range(given["atlas"]["iterations"]):
            folder = self.work / f"sums-{iteration}"
            for old in folder.glob("*.npz"):
                old.unlink()
            for shard in self.shards:
                prepared = self.work / "prepared" / f"{shard}.npz"
                map_shard(
                    prepared,
                    members,
                    template,
                    given_to("atlas_map", given),
                    folder / f"{shard}.npz",
                )
            following = self.work / f"template-{iteration}.npz"
            following.unlink(missing_ok=True)
            reduce_round(self.root, iteration, template, given_to("atlas_reduce", given), following)
            template = following
        write_atlas(self.root, template, given_to("atlas", given))

    def table(self, name: str) -> pd.DataFrame:
        return read_table(self.root, name)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.root / "atlas" / "atlas.json").read_text())
