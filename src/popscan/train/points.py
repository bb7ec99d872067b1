"""Training examples of implicit segmentation: labelled points of many subjects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from popscan.records import PopscanError
from popscan.segment.implicit import ImplicitShape, check_labels
from popscan.segment.places import LabelledPoints, frame_of, placed

#: Subject, places (subject, n, 3), phases (subject, n) and labels (subject, n).
Drawn = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class PointPack:
    """Labelled points, equally many of every subject, each in the subject's own frame.

    Attributes
    ----------
    places_mm : ndarray of float32, shape (subject, n, 3)
    phase : ndarray of float32, shape (subject, n)
    label : ndarray of uint8, shape (subject, n)
        As in `popscan.segment.places.LabelledPoints`.
    unit
        Whose they are, (subject,).
    """

    places_mm: NDArray[np.float32]
    phase: NDArray[np.float32]
    label: NDArray[np.uint8]
    unit: Sequence[str]

    def digest(self) -> str:
        """Return the SHA-256 of what a training sees of it."""
        digest = hashlib.sha256("\n".join(self.unit).encode())
        for part in (self.places_mm, self.phase, self.label):
            digest.update(f"{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def point_pack(subjects: Mapping[str, LabelledPoints], *, n: int, seed: int) -> PointPack:
    """Return `n` points of each subject, drawn with replacement, in the subject's frame.

    Raises
    ------
    PopscanError
        If there is no subject, or one without any label.
    """
    if not subjects:
        raise PopscanError("a pack needs at least one subject")
    drawn = []
    for k, points in enumerate(subjects.values()):
        rows = np.random.default_rng([seed, k]).integers(len(points), size=n)
        drawn.append(placed(points, frame_of(points)).picked(rows))
    return PointPack(
        places_mm=np.stack([p.places_mm for p in drawn]),
        phase=np.stack([p.phase for p in drawn]),
        label=np.stack([p.label for p in drawn]),
        unit=tuple(subjects),
    )


class PointSampler:
    """Draws points of some subjects.

    Parameters
    ----------
    packs
        By name; a subject's code is the network's in order of the packs, as they are given, and of
        their subjects. Packs without a share have none.
    shares
        Pack name -> its share of the subjects of a step; empty for all subjects equally often.
    at_once
        Points of a subject in a step.

    Raises
    ------
    PopscanError
        If `shares` names a pack that is not there, no pack has a share, or packs have different
        numbers of points.
    """

    groups: tuple[str, ...] = ()

    def __init__(
        self, packs: Mapping[str, PointPack], shares: Mapping[str, float], *, at_once: int
    ) -> None:
        if missing := sorted(set(shares) - set(packs)):
            raise PopscanError(f"the recipe's shares name packs that are not there: {missing}")
        used = {name: p for name, p in packs.items() if not shares or shares.get(name, 0) > 0}
        if not used:
            raise PopscanError("no pack has a share above 0: there is nothing to draw")
        if len({pack.label.shape[1] for pack in used.values()}) != 1:
            raise PopscanError("packs with equally many points of a subject are expected")
        self.places = torch.cat([torch.from_numpy(p.places_mm) for p in used.values()])
        self.phase = torch.cat([torch.from_numpy(p.phase) for p in used.values()])
        self.label = torch.cat([torch.from_numpy(p.label) for p in used.values()])
        self.at_once = at_once
        self.weights = torch.cat([
            torch.full((len(pack.unit),), shares[name] / len(pack.unit) if shares else 1.0)
            for name, pack in used.items()
        ])  # fmt: skip

    def check(self, network: nn.Module) -> None:
        """Refuse a network of another number of subjects, or of fewer labels.

        A code of nobody would stay as it was drawn, and fits begin from the mean of all codes.

        Raises
        ------
        PopscanError
            If there is one.
        """
        net = cast("ImplicitShape", network)
        n, known = len(self.weights), net.codes.num_embeddings
        if n != known:
            raise PopscanError(
                f"architecture implicit: {known} subjects; the packs that are drawn from have {n}"
            )
        check_labels(self.label, net)

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        """Return `n` subjects and points of each."""
        who = torch.multinomial(self.weights, n, True, generator=generator)
        rows = torch.randint(self.label.shape[1], (n, self.at_once), generator=generator)
        at = (who[:, None], rows)
        return who, self.places[at], self.phase[at], self.label[at].long()


def implicit_loss(network: nn.Module, drawn: Drawn, *, code_weight: float = 1e-3) -> Tensor:
    """Return the mean cross-entropy of points, plus the weighted mean square of the codes."""
    net = cast("ImplicitShape", network)
    who, places, phase, label = drawn
    code = net.codes(who)
    logits = net(places, phase, code)
    return functional.cross_entropy(logits.flatten(0, 1), label.flatten()) + (
        code_weight * code.square().mean()
    )
