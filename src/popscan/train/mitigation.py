"""What a recipe does so that groups of subjects are served alike, as data.

Every way is known from the literature on fair segmentation (Puyol-Anton et al.,
MICCAI 2021, doi:10.1007/978-3-030-87199-4_39; Lee et al. 2025, arXiv:2503.17089). Cropping
and models per group choose other data and not another training: `popscan.experiment` does them.
"""

from __future__ import annotations

from dataclasses import dataclass

from popscan.records import PopscanError

#: How groups enter a batch, beside the default (as often as they occur).
SAMPLINGS = ("stratified", "oversampling")


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """What is done for groups; the defaults do nothing.

    Attributes
    ----------
    attribute
        Attribute of the packs that says who belongs to which group; empty for no groups.
    sampling
        ``oversampling``: slices of smaller groups are drawn more often, so that all groups are
        drawn alike in expectation; ``stratified``: every batch holds equally many slices of every
        group; empty: slices as they come.
    reweigh
        Importance reweighing: each group's loss counts inversely to how often the group is drawn
        (Kamiran and Calders 2012, doi:10.1007/s10115-011-0463-8).
    dro_step
        Step of the groups' weights in Group DRO, which follow the groups' losses (Sagawa et al.
        2020, arXiv:1911.08731); 0 for none.
    dro_adjustment
        Their generalisation adjustment C: a group's loss counts as larger by C / sqrt(subjects).
    adversary
        Largest weight of the reversed gradient of a classifier that distinguishes the groups by the
        network's pooled bottleneck features (Ganin et al. 2016, JMLR 17:59); 0 for none.
    classifier
        Weight of the same classifier trained together with the network, not against it, after the
        fair meta-learning of Puyol-Anton et al. 2021; 0 for none.
    """

    attribute: str = ""
    sampling: str = ""
    reweigh: bool = False
    dro_step: float = 0.0
    dro_adjustment: float = 0.0
    adversary: float = 0.0
    classifier: float = 0.0

    @property
    def has_head(self) -> bool:
        """Whether a classifier of the groups is trained too."""
        return bool(self.adversary or self.classifier)


def check_mitigation(how: Mitigation, *, where: str = "recipe") -> Mitigation:
    """Return `how` if it can be done.

    Raises
    ------
    PopscanError
        For an unknown sampling, a negative number, two ways that exclude each other, or a way
        without an attribute.
    """
    problem = ""
    if how.sampling and how.sampling not in SAMPLINGS:
        problem = f"unknown sampling {how.sampling!r}; known are {', '.join(SAMPLINGS)}"
    elif min(how.dro_step, how.dro_adjustment, how.adversary, how.classifier) < 0:
        problem = "no number may be negative"
    elif how.reweigh and how.dro_step:
        problem = "reweigh and dro_step both set the groups' weights; choose one"
    elif how.adversary and how.classifier:
        problem = "adversary and classifier pull the same features apart; choose one"
    elif not how.attribute and how != Mitigation():
        problem = "needs an attribute that says who belongs to which group"
    if problem:
        raise PopscanError(f"{where}: mitigation: {problem}")
    return how
