"""What the columns of an experiment's tables mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from popscan.columns import Column, text
from popscan.experiment.design import Trial
from popscan.fairness.predictions import DICTIONARY

_OWN = "popscan.experiment"
_PUYOL = "Puyol-Anton et al. 2021, doi:10.1007/978-3-030-87199-4_39"
_BOTH = "interval (95%) for other test subjects and other seeds; with one seed for subjects alone"

_COLUMNS: dict[str, Column] = {
    "trial": text("name of the trial", _OWN),
    "architecture": text("network, as named in the config", "config"),
    "mitigation": text("what was done for the groups, as named in the config", "config"),
    "share_pct": Column("%", "share of the first group among the training subjects", "config"),
    "seed": Column("", "seed of the draw of training subjects and of the training", "config"),
    "status": text("ok, failed, or missing (not run yet)", _OWN),
    "reason": text("why it failed, as a code", _OWN),
    "message": text("why it failed, as a sentence", _OWN),
    "seconds": Column("s", "wall time of training and testing, of the last start alone", _OWN),
    "peak_mb": Column("MB", "largest memory", _OWN),
    "n_train": Column("subjects", "training subjects", _OWN),
    "locator_error_px": Column(
        "pixels",
        "mean distance of the labels' centre as found by the cascade from the reference's",
        _OWN,
    ),
    "subject": text("test subject", _OWN),
    "group": text("group of the attribute", _OWN),
    "structure": text("structure, as the recipe names it", _OWN),
    "frame": Column("", "frame of the scan, from 0", _OWN),
    "dice": Column("", "Dice over all slices of the frame, on the grid of training", _OWN),
    "n": Column("subjects", "test subjects", _OWN),
    "mean": Column("", "mean Dice over subjects, of the seeds' mean", _OWN),
    "ci_low": Column(
        "", "interval (95%) of the mean for other test subjects, given these trainings", ""
    ),
    "ci_high": Column("", "its upper end", ""),
    "n_trials": Column("trials", "trials asked for", _OWN),
    "n_ok": Column("trials", "trials that ended well", _OWN),
    "overall": Column("", "mean Dice over all test subjects", _OWN),
    "worst_group": text("group with the lowest mean Dice", _OWN),
    "worst": Column("", "its mean Dice", _OWN),
    "max_gap": Column("", "largest minus smallest group mean", _OWN),
    "max_gap_ci_low": Column(
        "", "interval (95%) for other test subjects, given these trainings", ""
    ),
    "max_gap_ci_high": Column("", "its upper end", ""),
    "sd_groups": Column("", "standard deviation of the groups' means", _PUYOL),
    "ser": Column("", "skewed error ratio: largest over smallest group error 1 - Dice", _PUYOL),
    "equity_scaled": Column("", "equity-scaled Dice", "Tian et al. 2024, FairSeg"),
    "reference": text("group compared with: the second in the config", "config"),
    "n_seeds": Column("seeds", "trainings behind the number", _OWN),
    "gap": Column("", "mean Dice of the group minus that of the reference", _OWN),
    "gap_low": Column("", _BOTH, _OWN),
    "gap_high": Column("", "its upper end", _OWN),
    "gap_seed_sd": Column("", "standard deviation of the seeds' gaps", _OWN),
    "gap_seed_low": Column("", "smallest of the seeds' gaps", _OWN),
    "gap_seed_high": Column("", "largest of the seeds' gaps", _OWN),
    "gap_change": Column(
        "",
        "gap minus that of the arm that does nothing, same seeds and subjects",
        _OWN,
    ),
    "gap_change_low": Column("", _BOTH, _OWN),
    "gap_change_high": Column("", "its upper end", _OWN),
    "shrinks": text(
        "yes: the gap is closer to 0 and the interval of its change leaves out 0; no: further off; "
        "else, and with fewer than two seeds, not shown",
        _OWN,
    ),
    "gap_change_n_seeds": Column("seeds", "seeds that both arms have, behind the change", _OWN),
    "worst_change_group": text("group that the arm serves worst, over these seeds", _OWN),
    "worst_change": Column(
        "",
        "its mean Dice minus that with the arm that does nothing, same seeds and subjects",
        _OWN,
    ),
    "worst_change_low": Column("", _BOTH, _OWN),
    "worst_change_high": Column("", "its upper end", _OWN),
    "n_shares": Column("", "compositions behind the slope", _OWN),
    "threshold": Column("", "score above which a normative model flags", _OWN),
    "input": text("images, volumes (logistic regression on structure volumes)", _OWN),
    "truth": Column("", "1: of the second class, or of those never trained on; 0: not", _OWN),
    "score": Column(
        "", "probability of the second class; mean absolute reconstruction error", _OWN
    ),
    "flagged": Column("", "1: predicted positive, or above the threshold; 0: not", _OWN),
    "outcome": text(
        "correct; sensitivity (of the positives, flagged); false_positive (of the negatives, "
        "flagged); score_of_negatives",
        _OWN,
    ),
    "level": text("group of the attribute", _OWN),
    "mean_low": Column("", _BOTH, _OWN),
    "mean_high": Column("", "its upper end", _OWN),
    "drop": Column("", "what the true class's logit loses when the structure is filled in", _OWN),
    "drop_low": Column("", _BOTH, _OWN),
    "drop_high": Column("", "its upper end", _OWN),
    "reference_mean": Column("", "mean of the reference, as mean", _OWN),
    "gap_all_low": Column("", "interval (95%) for all structures together (Bonferroni)", _OWN),
    "gap_all_high": Column("", "its upper end", _OWN),
    "slope_all_low": Column("", "interval (95%) for all structures together (Bonferroni)", _OWN),
    "slope_all_high": Column("", "its upper end", _OWN),
    "shown": text(
        "yes: the interval for all structures together leaves out 0 (a drop: is above it), of two "
        "seeds or more",
        _OWN,
    ),
    "slope": Column("1 / 10 points", "change of the gap per 10 percentage points of share", _OWN),
    "slope_low": Column("", _BOTH, _OWN),
    "slope_high": Column("", "its upper end", _OWN),
}


def dictionary(audited: Sequence[str] = ()) -> Mapping[str, Column]:
    """Return column -> what it means.

    Parameters
    ----------
    audited
        Attributes of the test subjects that the table of scores holds, too.
    """
    assert set(Trial.__dataclass_fields__) <= set(_COLUMNS)
    own = {name: text("attribute of the test subject", "cohort table") for name in audited}
    return {**own, **DICTIONARY, **_COLUMNS}
