"""Regions of which an atlas of brains has probability maps: tissues, and what lies deep."""

from __future__ import annotations

from popscan.protocol import Region
from popscan.protocols.brain_t1.labels import GROUPS, LABELS

_DEEP = ("hippocampus", "amygdala", "thalamus", "caudate", "putamen", "pallidum", "ventral_dc")
_CORTEX = tuple(g.name for g in GROUPS if g.name.endswith("_grey") and g.paired)


def _region(name: str, groups: tuple[str, ...], words: str, colour: str, level: float) -> Region:
    names = tuple(s for s in LABELS.codes if s.removesuffix("_left").removesuffix("_right")
                  in groups)  # fmt: skip
    return Region(name=name, structures=names, words=words, colour=colour, level=level)


#: Every structure of the label set is in one of them.
REGIONS: tuple[Region, ...] = (
    _region("cortex", _CORTEX, "the cortex", "#e07b1a", 0.5),
    _region("white", ("cerebral_white", "corpus_callosum"), "the white matter", "#ffffff", 1.0),
    _region("deep_grey", _DEEP, "the deep grey matter", "#12c98a", 0.2),
    _region(
        "ventricles", ("lateral_ventricle", "ventricles_3_4"), "the ventricles", "#a06bff", -1.0
    ),
    _region(
        "cerebellum", ("cerebellum_grey", "cerebellum_white"), "the cerebellum", "#f0e442", 0.75
    ),
    _region("brainstem", ("brainstem",), "the brainstem", "#9aa7b8", 0.35),
    _region("csf", ("csf",), "the fluid around the brain", "#3fa7d6", -0.5),
)
