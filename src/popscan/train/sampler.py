"""Which slices a batch is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.records import PopscanError
from popscan.segment.known import subject_of
from popscan.segment.networks import context_slices, n_phases
from popscan.segment.preprocess import opposite_frames
from popscan.train.groups import group_codes
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.partial import shown_labels
from popscan.train.recipe import Recipe
from popscan.train.targets import Target, slice_targets


def stacks(pack: Pack) -> NDArray[np.int64]:
    """Return the first row and the row after the last of every stack, shape (stacks, 2)."""
    new = (pack.unit[1:] != pack.unit[:-1]) | (pack.frame[1:] != pack.frame[:-1])
    bounds = np.concatenate([[0], np.flatnonzero(new) + 1, [len(pack)]])
    return np.stack([bounds[:-1], bounds[1:]], axis=1)


def opposites(pack: Pack) -> NDArray[np.int64]:
    """Return for every slice the row of the same slice in the opposite phase, shape (n,).

    Of the labelled frames of one visit (`popscan.segment.preprocess.opposite_frames`); its own row
    where the visit has no other frame, or one with other slices.
    """
    rows, found = np.arange(len(pack)), np.arange(len(pack))
    bounds = stacks(pack)
    units = pack.unit[bounds[:, 0]]
    for unit in dict.fromkeys(units.tolist()):
        own = bounds[units == unit]
        for (first, stop), other in zip(own, opposite_frames(len(own)), strict=True):
            if np.array_equal(pack.slice_index[first:stop], pack.slice_index[slice(*own[other])]):
                found[first:stop] = rows[slice(*own[other])]
    return found


def at_the_edge(pack: Pack) -> NDArray[np.bool_]:
    """Return which slices are the highest or lowest with a label, or next outside of them.

    That is where experts and networks disagree most: whether a slice still belongs to the
    organ (Mariscal-Harana et al. 2021 draw such slices more often).
    """
    labelled = (pack.labels != 0).any(axis=(1, 2))
    edge = np.zeros(len(pack), dtype=bool)
    for first, stop in stacks(pack):
        inside = np.flatnonzero(labelled[first:stop])
        if inside.size:
            low, high = first + inside[0], first + inside[-1]
            edge[max(first, low - 1) : low + 1] = True
            edge[high : min(stop, high + 2)] = True
    return edge


class Sampler:
    """Draws batches of slices, each with its neighbours, from packs.

    Parameters
    ----------
    packs
        By name.
    shares
        Pack name -> its share of a batch in expectation; empty for all slices alike.
    context, phases
        Neighbours on each side that come with a slice; 2 for the opposite phase, too.
    edge_weight
        How much more often slices `at_the_edge` are drawn than others.
    attribute
        Attribute of the packs that says which group a slice belongs to; empty for none.
    sampling
        As in `popscan.train.mitigation.Mitigation`.

    Attributes
    ----------
    groups : tuple of str
        Names of the groups; empty without `attribute`.
    group : Tensor, shape (slices,)
        Code of each slice's group.
    targets : Tensor, shape (slices,), or None
        What a classification or regression predicts of each slice.
    shown : Tensor, shape (slices, label), or None
        Which labels the map of each slice shows, where the recipe hides some.
    subject : ndarray, shape (slices,), or None
        Number of the subject of each slice, of `n_subjects`, where a training is private.
    refurbished
        Whether `labels` are those that a training has replaced.
    group_shares, group_sizes : Tensor, shape (groups,)
        How often each group is drawn, and its number of subjects.

    Raises
    ------
    PopscanError
        If `shares` names a pack that is not there, or a pack lacks `attribute`.
    """

    def __init__(
        self,
        packs: Mapping[str, Pack],
        shares: Mapping[str, float],
        *,
        context: int = 0,
        phases: int = 1,
        edge_weight: float = 1.0,
        attribute: str = "",
        sampling: str = "",
    ) -> None:
        if missing := sorted(set(shares) - set(packs)):
            raise PopscanError(f"the recipe's shares name packs that are not there: {missing}")
        used = {name: packs[name] for name in (shares or packs)}
        self.context = context
        self.images = torch.cat([torch.from_numpy(p.images) for p in used.values()])
        self.labels = torch.cat([torch.from_numpy(p.labels) for p in used.values()])
        bounds, others, weights, start = [], [], [], 0
        for name, pack in used.items():
            span = np.repeat(stacks(pack), np.diff(stacks(pack))[:, 0], axis=0)
            bounds.append(torch.from_numpy(span) + start)
            if phases > 1:
                others.append(torch.from_numpy(opposites(pack)) + start)
            weight = np.where(at_the_edge(pack), edge_weight, 1.0) * pack.usable
            weights.append(weight * (shares[name] / weight.sum() if shares else 1.0))
            start += len(pack)
        self.bounds = torch.cat(bounds)
        self.opposite = torch.cat(others) if others else None
        self.weights = torch.from_numpy(np.concatenate(weights))
        self.sizes = {name: len(pack) for name, pack in used.items()}
        self.shown: torch.Tensor | None = None
        self.targets: torch.Tensor | None = None
        self.subject: NDArray[np.int64] | None = None
        self.n_subjects = 0
        self.refurbished = False
        self.groups: tuple[str, ...] = ()
        self.stratified = sampling == "stratified"
        if attribute:
            self._group(used, attribute=attribute, alike=bool(sampling))

    def _group(self, used: Mapping[str, Pack], *, attribute: str, alike: bool) -> None:
        """Learn who belongs to which group; with `alike`, draw all groups equally often."""
        for name, pack in used.items():
            if attribute not in pack.attributes:
                known = ", ".join(sorted(pack.attributes)) or "none"
                raise PopscanError(f"pack {name!r} has no attribute {attribute!r}; known: {known}")
        values = np.concatenate([pack.attributes[attribute] for pack in used.values()])
        units = np.concatenate([pack.unit for pack in used.values()])
        people = np.array([subject_of(unit) for unit in units.tolist()])
        self.groups, self.group = group_codes(values.tolist(), attribute=attribute, where="packs")
        totals = torch.zeros(len(self.groups), dtype=self.weights.dtype)
        totals.index_add_(0, self.group, self.weights)
        if alike:
            self.weights = self.weights / totals[self.group]
            totals = torch.ones_like(totals)
        self.group_shares = (totals / totals.sum()).float()
        members = [len(set(people[values == name].tolist())) for name in self.groups]
        self.group_sizes = torch.tensor(members, dtype=torch.float32)

    @classmethod
    def of(cls, recipe: Recipe, packs: Mapping[str, Pack], target: Target | None = None) -> Sampler:
        """Return the sampler that a recipe describes."""
        context = context_slices(recipe.architecture_arguments)
        sampler = cls(
            packs,
            recipe.shares,
            context=context,
            phases=n_phases(recipe.architecture_arguments),
            edge_weight=recipe.edge_weight,
            attribute=recipe.mitigation.attribute,
            sampling=recipe.mitigation.sampling,
        )
        if recipe.learning.partial:
            sampler.shown = shown_labels(recipe.learning.annotated, sampler.sizes, recipe.codes)
        if recipe.private.noise:
            sampler.number_subjects([packs[name] for name in (recipe.shares or packs)])
        if target is not None:
            sampler.aim(target, [packs[name] for name in (recipe.shares or packs)])
        return sampler

    def number_subjects(self, packs: Sequence[Pack]) -> None:
        """Learn whose slice each is, all visits of a subject under one number."""
        people = [subject_of(unit) for pack in packs for unit in pack.unit.tolist()]
        names, self.subject = np.unique(people, return_inverse=True)
        self.n_subjects = len(names)

    def aim(self, target: Target, packs: Sequence[Pack]) -> None:
        """Take what is predicted of every slice; slices of unknown subjects are not drawn."""
        texts = [text for pack in packs for text in pack.attributes[target.attribute].tolist()]
        self.targets = slice_targets(target, texts)
        self.weights = self.weights * torch.isfinite(self.targets)

    def pick(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Return which slices a batch is made of, shape (n,)."""
        if not self.stratified:
            return torch.multinomial(self.weights, n, replacement=True, generator=generator)
        order = torch.randperm(len(self.groups), generator=generator).tolist()
        parts = []
        for place, code in enumerate(order):
            # What does not divide goes to groups drawn by lot.
            count = n // len(order) + (place < n % len(order))
            own = torch.where(self.group == code, self.weights, 0.0)
            if count:
                drawn = torch.multinomial(own, count, replacement=True, generator=generator)
                parts.append(drawn)
        return torch.cat(parts)

    def draw(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (n, phases (1 + 2 context), size, size) float32, labels (n, size, size)."""
        return self.take(self.pick(n, generator))

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and labels of the slices picked, as `draw` does."""
        first, stop = self.bounds[index].unbind(dim=1)
        near = index[:, None] + torch.arange(-self.context, self.context + 1)
        near = torch.minimum(torch.maximum(near, first[:, None]), stop[:, None] - 1)
        if self.opposite is not None:
            near = torch.cat([near, self.opposite[near]], dim=1)
        return self.images[near].float() / INTENSITY_SCALE, self.labels[index]
