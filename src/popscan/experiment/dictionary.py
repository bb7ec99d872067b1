"""What the columns of an experiment's tables mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.experiment.design import Trial

_OWN = "popscan.experiment"
_PUYOL = "Puyol-Anton et al. 2021, doi:10.1007/978-3-030-87199-4_39"
_BOTH = "interval (95%) for other test subjects and other seeds; with one seed for subjects alone"

_COLUMNS: dict[str, tuple[str, str, str]] = {
    "trial": ("", "name of the trial", _OWN),
    "architecture": ("", "network, as named in the config", "config"),
    "mitigation": ("", "what was done for the groups, as named in the config", "config"),
    "share_pct": ("%", "share of the first group among the training subjects", "config"),
    "seed": ("", "seed of the draw of training subjects and of the training", "config"),
    "status": ("", "ok, failed, or missing (not run yet)", _OWN),
    "reason": ("", "why it failed, as a code", _OWN),
    "message": ("", "why it failed, as a sentence", _OWN),
    "seconds": ("s", "wall time of training and testing, of the last start alone", _OWN),
    "peak_mb": ("MB", "largest memory", _OWN),
    "n_train": ("subjects", "training subjects", _OWN),
    "locator_error_px": (
        "pixels",
        "mean distance of the heart's centre as found by the cascade from the reference's",
        _OWN,
    ),
    "subject": ("", "test subject", _OWN),
    "group": ("", "group of the attribute", _OWN),
    "structure": ("", "rv, myo or lv", _OWN),
    "frame": ("", "frame of the scan, from 0", _OWN),
    "dice": ("", "Dice over all slices of the frame, on the grid of training", _OWN),
    "n": ("subjects", "test subjects", _OWN),
    "mean": ("", "mean Dice over subjects, of the seeds' mean", _OWN),
    "ci_low": ("", "interval (95%) of the mean for other test subjects, given these trainings", ""),
    "ci_high": ("", "its upper end", ""),
    "n_trials": ("trials", "trials asked for", _OWN),
    "n_ok": ("trials", "trials that ended well", _OWN),
    "overall": ("", "mean Dice over all test subjects", _OWN),
    "worst_group": ("", "group with the lowest mean Dice", _OWN),
    "worst": ("", "its mean Dice", _OWN),
    "max_gap": ("", "largest minus smallest group mean", _OWN),
    "max_gap_ci_low": ("", "interval (95%) for other test subjects, given these trainings", ""),
    "max_gap_ci_high": ("", "its upper end", ""),
    "sd_groups": ("", "standard deviation of the groups' means", _PUYOL),
    "ser": ("", "skewed error ratio: largest over smallest group error 1 - Dice", _PUYOL),
    "equity_scaled": ("", "equity-scaled Dice", "Tian et al. 2024, FairSeg"),
    "reference": ("", "group compared with: the second in the config", "config"),
    "n_seeds": ("seeds", "trainings behind the number", _OWN),
    "gap": ("", "mean Dice of the group minus that of the reference", _OWN),
    "gap_low": ("", _BOTH, _OWN),
    "gap_high": ("", "its upper end", _OWN),
    "gap_seed_sd": ("", "standard deviation of the seeds' gaps", _OWN),
    "gap_seed_low": ("", "smallest of the seeds' gaps", _OWN),
    "gap_seed_high": ("", "largest of the seeds' gaps", _OWN),
    "gap_change": (
        "",
        "gap minus that of the arm that does nothing, same seeds and subjects",
        _OWN,
    ),
    "gap_change_low": ("", _BOTH, _OWN),
    "gap_change_high": ("", "its upper end", _OWN),
    "shrinks": (
        "",
        "yes: the gap is closer to 0 and the interval of its change leaves out 0; no: further off; "
        "else, and with fewer than two seeds, not shown",
        _OWN,
    ),
    "gap_change_n_seeds": ("seeds", "seeds that both arms have, behind the change", _OWN),
    "worst_change_group": ("", "group that the arm serves worst, over these seeds", _OWN),
    "worst_change": (
        "",
        "its mean Dice minus that with the arm that does nothing, same seeds and subjects",
        _OWN,
    ),
    "worst_change_low": ("", _BOTH, _OWN),
    "worst_change_high": ("", "its upper end", _OWN),
    "n_shares": ("", "compositions behind the slope", _OWN),
    "slope": ("1 / 10 points", "change of the gap per 10 percentage points of share", _OWN),
    "slope_low": ("", _BOTH, _OWN),
    "slope_high": ("", "its upper end", _OWN),
}


def dictionary() -> Mapping[str, Mapping[str, str]]:
    """Return column -> unit, meaning, source."""
    assert set(Trial.__dataclass_fields__) <= set(_COLUMNS)
    return {
        name: {"unit": unit, "meaning": meaning, "source": source}
        for name, (unit, meaning, source) in _COLUMNS.items()
    }
