"""What a recipe does about labels that are partial or wrong, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from popscan.records import PopscanError
from popscan.yamlfile import shown

#: What is made of a structure that a pack's labels do not show.
MISSING = ("background", "ignored", "marginal")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How labels are used; the defaults take every label map as whole and right.

    Attributes
    ----------
    annotated
        Pack name -> structures that its labels show; packs that are not named show all. Where a
        pack's label maps hold others, these are taken as background.
    missing
        What the loss makes of the structures that a slice's labels do not show: ``background``
        (the labels are believed), ``ignored`` (they are left out of the softmax) or ``marginal``
        (their probability counts as background's; Shi et al. 2021,
        doi:10.1016/j.media.2021.101979).
    exclusive
        Weight of the exclusion loss of the same paper: hidden structures are not where another one
        is labelled.
    label_dropout
        Probability that a structure that the labels do show is hidden from the loss, per slice and
        structure, so that what is hidden no longer says which data set a slice is from (Islam
        et al. 2024, arXiv:2403.07818).
    snapshots
        Keep the averaged network every so many steps, for the signs of wrong labels
        (`popscan.train.suspects`); 0 for none.
    refurbish, refurbish_after
        Share of the labelled slices, those of the largest loss, whose labels are replaced by the
        network's own, and after how many steps (`popscan.train.refurbish`); 0 for none.
    """

    annotated: dict[str, list[str]] = field(default_factory=dict)
    missing: str = "background"
    exclusive: float = 0.0
    label_dropout: float = 0.0
    snapshots: int = 0
    refurbish: float = 0.0
    refurbish_after: int = 0

    @property
    def partial(self) -> bool:
        """Whether the loss hides structures."""
        return bool(self.annotated or self.label_dropout)


def check_learning(
    how: Learning,
    *,
    labels: Sequence[str],
    beside: Mapping[str, bool],
    where: str = "recipe",
) -> Learning:
    """Return `how` if it can be done.

    Parameters
    ----------
    how
        As the recipe has it.
    labels
        Structures of the recipe.
    beside
        What does not go with partial labels -> whether the recipe has it.
    where
        Of whom an error speaks.

    Raises
    ------
    PopscanError
        For an unknown structure or way, a number out of its range, or something that does not go
        with it.
    """
    odd = sorted({name for names in how.annotated.values() for name in names} - set(labels))
    problem = ""
    if odd:
        problem = f"annotated: no structures {shown(odd)}; known are {', '.join(labels)}"
    elif how.missing not in MISSING:
        problem = f"missing: {shown(how.missing)}; known are {', '.join(MISSING)}"
    elif not 0 <= how.exclusive <= 1e3:
        problem = f"exclusive: a number from 0 to 1000 is expected; found {how.exclusive}"
    elif not 0 <= how.label_dropout < 1:
        problem = f"label_dropout: from 0 to below 1 is expected; found {how.label_dropout}"
    elif not 0 <= how.snapshots <= 10**9:
        problem = f"snapshots: a number of steps is expected; found {how.snapshots}"
    elif not 0 <= how.refurbish < 1:
        problem = f"refurbish: a share from 0 to below 1 is expected; found {how.refurbish}"
    elif bool(how.refurbish) != bool(how.refurbish_after) or how.refurbish_after < 0:
        problem = "refurbish and refurbish_after (a step) go together"
    elif how.refurbish and how.partial:
        problem = "refurbish does not go with partial labels"
    elif how.label_dropout and how.missing == "background":
        problem = "label_dropout hides labels: missing is ignored or marginal with it"
    elif not how.partial and (how.exclusive or how.missing != "background"):
        problem = "missing and exclusive need packs with fewer labels (annotated) or label_dropout"
    elif how.partial and (others := [name for name, used in beside.items() if used]):
        problem = f"partial labels do not go with {', '.join(others)}"
    if problem:
        raise PopscanError(f"{where}: learning: {problem}")
    return how
