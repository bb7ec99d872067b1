"""The picture of where a single subject differs from others, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from popscan.config import Atlas
from popscan.npzfile import read_npz
from popscan.protocols import protocol_of
from popscan.report.figures.differences import Overlay, overlays
from popscan.spaces import AtlasFrame
from popscan.stages.atlas.differences import on_grid
from popscan.stages.atlas.results import map_pictures
from popscan.stages.atlas.stored import Arrays
from popscan.study.tables import read_table

#: z-scores of the darkest colours.
_FULL = 4.0
#: Shards whose maps are kept; subjects mostly come shard by shard.
_SHARDS = 2


class UnusualPlaces:
    """Pictures of subjects of one study; what they share is read once."""

    def __init__(self, study_root: Path, config: Mapping[str, object]) -> None:
        atlas = Atlas.of(config, or_defaults=True)
        self._root = study_root
        self._frame: AtlasFrame | None = protocol_of(config).atlas if atlas.enabled else None
        self._maps = lru_cache(maxsize=_SHARDS)(self._read_maps)

    def of(self, unit: str, shard: str) -> list[tuple[Markup, str]]:
        """Return the picture of a subject's z-scores, with its caption.

        Empty without an atlas (also one that was turned off since), z-scores or a `shard`.
        """
        if self._frame is None or not shard or not self._pictures:
            return []
        maps = self._maps(shard)
        units = maps["units"].tolist() if maps else []
        if unit not in units:
            return []
        scores = maps["z"][units.index(unit)].astype(np.float32)
        if not np.isfinite(scores).any():
            return []
        figure = overlays(
            [Overlay(title="z-score", values=on_grid(scores, maps["organ"]))],
            self._pictures,
            self._frame,
            full=_FULL,
            legend="z-score (red: more volume)",
            alt=f"z-scores of local volume of {unit} over the average.",
        )
        group = self._groups.get(unit, "")
        caption = (
            f"Local volume against other subjects (group: {group}): z-scores over the average of "
            "all."
        )
        return [(figure, caption)]

    def _read_maps(self, shard: str) -> Arrays:
        path = self._root / "atlas" / "maps" / f"{shard}.npz"
        return read_npz(path) if path.exists() else {}

    @cached_property
    def _pictures(self) -> Mapping[str, object]:
        return map_pictures(self._root, self._frame) if self._frame is not None else {}

    @cached_property
    def _groups(self) -> dict[str, str]:
        table = read_table(self._root, "atlas_distances")
        if "atlas_z_group" not in table:
            return {}
        groups: pd.Series = table.set_index("unit")["atlas_z_group"]
        return {str(unit): str(group) for unit, group in groups.items()}
