"""Structures of the brain, what the MUSE atlas calls them, and the sides of those that are paired.

The network knows no sides (a sagittal slice has none): its labels are `GROUPS`. Sides are given
afterwards (`popscan.protocols.brain_t1.sides`), and label maps hold `STRUCTURES`: the code of a
group, plus `RIGHT` on the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.protocol import LabelSet, Structure
from popscan.records import SubjectError

#: Added to a group's code on the right side of the body.
RIGHT = 100


@dataclass(frozen=True, kw_only=True)
class Group:
    """Structures that the network labels alike.

    Attributes
    ----------
    name, title, colour
        As in `popscan.protocol.Structure`, without the side.
    left, right
        MUSE codes by side; `left` holds those of both sides where the group is not `paired`.
    paired
        Whether left and right are distinguished.
    """

    name: str
    title: str
    colour: str
    left: tuple[int, ...]
    right: tuple[int, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether left and right have a code each."""
        return bool(self.right)


def _cortex(name: str, title: str, colour: str, *right: int) -> Group:
    """Return a group of cortex: MUSE has even codes on the right, the next odd one on the left."""
    left = tuple(code + 1 for code in right)
    return Group(name=name, title=title, colour=colour, left=left, right=right)


#: In the order of the network's labels, 1 first. Code 46 is CSF and 69 the optic chiasm; the list
#: of names that comes with DLMUSE leaves both out.
GROUPS: tuple[Group, ...] = (
    Group(name="lateral_ventricle", title="lateral ventricle", colour="#7a3cff",
          left=(52, 50), right=(51, 49)),
    Group(name="ventricles_3_4", title="Third and fourth ventricle", colour="#b48cff",
          left=(4, 11)),
    Group(name="hippocampus", title="hippocampus", colour="#f0e442", left=(48,), right=(47,)),
    Group(name="amygdala", title="amygdala", colour="#56e0e9", left=(32,), right=(31,)),
    Group(name="thalamus", title="thalamus", colour="#00a86b", left=(60,), right=(59,)),
    Group(name="caudate", title="caudate", colour="#6fb1ff", left=(37,), right=(36,)),
    Group(name="putamen", title="putamen", colour="#ff4fa3", left=(58,), right=(57,)),
    Group(name="pallidum", title="pallidum", colour="#2e5cff", left=(56,), right=(55,)),
    Group(name="ventral_dc", title="ventral diencephalon and basal forebrain", colour="#a5682a",
          left=(62, 75, 30), right=(61, 76, 23)),
    Group(name="brainstem", title="Brainstem", colour="#9aa7b8", left=(35,)),
    Group(name="cerebellum_grey", title="Cerebellar grey matter", colour="#e69f00",
          left=(38, 39, 71, 72, 73)),
    Group(name="cerebellum_white", title="Cerebellar white matter", colour="#ffe0a3",
          left=(40, 41)),
    _cortex("frontal_grey", "frontal grey matter", "#d55e00", 104, 112, 118, 120, 124, 136, 140,
            142, 146, 150, 152, 162, 164, 178, 182, 186, 190, 192, 204),
    _cortex("parietal_grey", "parietal grey matter", "#009e73", 106, 148, 168, 174, 176, 194, 198),
    _cortex("temporal_grey", "temporal grey matter", "#cc79a7", 122, 132, 154, 180, 184, 200, 202,
            206),
    _cortex("occipital_grey", "occipital grey matter", "#0072b2", 108, 114, 128, 134, 144, 156,
            160, 196),
    _cortex("limbic_grey", "cingulate and parahippocampal grey matter", "#8a2be2", 100, 116, 138,
            166, 170),
    _cortex("insula_grey", "insular grey matter", "#b5e853", 102, 172),
    Group(name="cerebral_white", title="cerebral white matter", colour="#f5f5f0",
          left=(82, 84, 86, 88, 90, 92, 94), right=(81, 83, 85, 87, 89, 91, 93)),
    Group(name="corpus_callosum", title="Corpus callosum", colour="#c0c040", left=(95,)),
    Group(name="csf", title="Cerebrospinal fluid around the brain", colour="#3fa7d6",
          left=(1, 46, 69)),
)  # fmt: skip

#: Names of the network's labels, 1 first: what a bundle of this protocol must have.
NETWORK_LABELS: tuple[str, ...] = tuple(group.name for group in GROUPS)


def _structures() -> tuple[Structure, ...]:
    found = []
    for code, group in enumerate(GROUPS, start=1):
        sides = (("left", 0), ("right", RIGHT)) if group.paired else (("", 0),)
        for side, offset in sides:
            title = f"{side} {group.title}" if side else group.title
            found.append(
                Structure(
                    name=f"{group.name}_{side}" if side else group.name,
                    code=code + offset,
                    title=title[0].upper() + title[1:],
                    colour=group.colour,
                    words=f"the {title[0].lower()}{title[1:]}",
                )
            )
    return tuple(found)


LABELS = LabelSet(structures=_structures())


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    codes, known = np.zeros(256, dtype=np.uint8), np.zeros(256, dtype=bool)
    known[0] = True
    for code, group in enumerate(GROUPS, start=1):
        codes[list(group.left)], codes[list(group.right)] = code, code + RIGHT
        known[[*group.left, *group.right]] = True
    return codes, known


_CODES, _KNOWN = _tables()


def from_muse(array: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return a map of MUSE codes in the codes of `LABELS`.

    Raises
    ------
    SubjectError
        ``bad_labels`` where a code is none of MUSE's.
    """
    values = np.unique(array)
    odd = [int(v) for v in values if not 0 <= v < len(_KNOWN) or not _KNOWN[int(v)]]
    if odd:
        raise SubjectError("bad_labels", f"codes {odd[:10]} are not MUSE's")
    return _CODES[array.astype(np.intp)]


def without_sides(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels as the network gives them: codes of `GROUPS`, the same for left and right."""
    return np.where(labels > RIGHT, labels - RIGHT, labels).astype(np.uint8)
