"""Limits of checks from a reviewer's verdicts: ROC per check, and limits that fit a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.columns import Column, text
from popscan.commands.qc_badness import badness, finite_ends, limit_at, limit_words
from popscan.qc.model import Limit, Spec
from popscan.records import PopscanError
from popscan.stats.auc import auc, inflation_of_subjects, interval
from popscan.stats.intervals import wilson_of_subjects

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Bools = NDArray[np.bool_]

#: Fewest subjects with bad, and with good results, of whom anything is proposed.
FEWEST = 10
_FOLDS = 5

#: Columns of the table of checks.
CHECK_COLUMNS: Mapping[str, Column] = {
    "check": text("name of the check"),
    "n_bad": Column("", "results that the reviewer called bad, with a value"),
    "n_good": Column("", "results that the reviewer called good, with a value"),
    "auc": Column("", "area under the ROC curve", "DeLong et al. 1988"),
    "auc_low": Column("", "lower end of its 95% interval", "DeLong et al. 1988"),
    "auc_high": Column("", "upper end of its 95% interval", "DeLong et al. 1988"),
    "review_now": text("present limit of review"),
    "found_now_pct": Column("%", "bad results beyond the present limits of review or failure"),
    "false_now_pct": Column("%", "good results beyond the present limits of review or failure"),
    "review_proposed": text("proposed limit of review; empty where the check is not needed"),
    "found_pct": Column("%", "bad results beyond the proposed limit"),
    "false_pct": Column("%", "good results beyond the proposed limit"),
    "note": text("why nothing is proposed"),
}
#: Columns of the points of the ROC curves.
ROC_COLUMNS: Mapping[str, Column] = {
    "check": text("name of the check"),
    "limit": text("limit of review"),
    "false_pct": Column("%", "good results beyond it"),
    "found_pct": Column("%", "bad results beyond it"),
}
#: Columns of the table of what all limits together come to.
TOGETHER_COLUMNS: Mapping[str, Column] = {
    "limits": text(
        "present; proposed, with the other checks' limits of review off or as they are; proposed "
        "without the results that are judged. Limits of failure, and what could not be measured, "
        "count in all of them"
    ),
    "measure": text("found: of bad results; false alarms: of good ones; to review: of all"),
    "n": Column("", "results it is a share of"),
    "share_pct": Column("%", "share beyond at least one limit"),
    "low_pct": Column("%", "lower end of its 95% interval, by subject", "Wilson 1927"),
    "high_pct": Column("%", "upper end of its 95% interval, by subject", "Wilson 1927"),
}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning found: three tables, and limits by check as the config takes them."""

    checks: pd.DataFrame
    roc: pd.DataFrame
    together: pd.DataFrame
    limits: Mapping[str, Limit]


def tune(
    values: pd.DataFrame,
    bad: Bools,
    specs: Mapping[str, Spec],
    *,
    false_alarms: float = 0.1,
    always: Bools | None = None,
    subjects: Sequence[str] | None = None,
    seed: int = 0,
) -> Tuned:
    """Propose limits of review.

    Checks and limits are added one by one, whichever finds most further bad results per further
    good one, as long as the false alarms of all together stay within the budget. What they come to
    is measured on the same results, and by cross-validation on results that were held out.

    Parameters
    ----------
    values
        A row per result, a column per check; NaN where it was not assessed.
    bad
        The verdict of the reviewer, by row.
    specs
        The checks with their present limits.
    false_alarms
        Largest share of good results that may be flagged; 0 to 1.
    always
        Results that are flagged whatever the limits, since a check could not be measured.
    subjects
        Subject of every result, all of whose results are held out together; None: one each.
    seed
        Of the folds.

    Raises
    ------
    PopscanError
        For a share that is none, or values of none of the checks.
    """
    if not 0 <= false_alarms <= 1:
        raise PopscanError(
            f"false alarms {false_alarms:g}: a share from 0 to 1 expected (0.1 is 10%)"
        )
    names = [name for name in specs if name in values]
    if not names:
        raise PopscanError("none of the protocol's checks has a value in the table of checks")
    always = np.zeros(len(bad), bool) if always is None else always
    turned = {n: badness(specs[n], values[n].to_numpy(dtype=float)) for n in names}
    of = np.arange(len(bad)) if subjects is None else pd.factorize(np.asarray(subjects))[0]
    enough = min(len(np.unique(of[bad])), len(np.unique(of[~bad]))) >= FEWEST
    numbers = {n: values[n].to_numpy(dtype=float) for n in names}
    now = {n: _beyond(specs[n], numbers[n], ("review", "fail")) for n in names}
    fails = np.any([_beyond(specs[n], numbers[n], ("fail",)) for n in names], axis=0) | always
    chosen = _greedy(turned, bad, false_alarms, fails) if enough else {}
    limits = {name: limit_at(specs[name], cut, numbers[name]) for name, cut in chosen.items()}
    rows, roc = [], []
    for name in names:
        rows.append(
            _row(
                name,
                specs[name],
                turned[name],
                bad=bad,
                now=now[name],
                chosen=chosen,
                limit=limits.get(name),
                enough=enough,
                of=of,
            )
        )
        roc += _roc(name, specs[name], turned[name], bad)
    parts = [("present", np.any(list(now.values()), axis=0) | always)]
    if enough:
        proposed = _flagged(turned, chosen) | fails
        others = np.any([now[n] for n in names if n not in chosen] or [fails], axis=0)
        parts.append(("proposed", proposed))
        parts.append(("proposed, other checks as they are", proposed | others))
        held = _held_out(turned, bad, false_alarms, fails, of=of, seed=seed)
        parts.append(("proposed, results held out", held))
    together = [line for limits, flags in parts for line in _together(limits, flags, bad, of)]
    return Tuned(
        checks=pd.DataFrame(rows, columns=list(CHECK_COLUMNS)),
        roc=pd.DataFrame(roc, columns=list(ROC_COLUMNS)),
        together=pd.DataFrame(together, columns=list(TOGETHER_COLUMNS)),
        limits=limits,
    )


def _flagged(turned: Mapping[str, Floats], cuts: Mapping[str, float]) -> Bools:
    first = next(iter(turned.values()), np.empty(0))
    found = np.zeros(len(first), bool)
    for name, cut in cuts.items():
        with np.errstate(invalid="ignore"):
            found |= turned[name] > cut
    return found


def _greedy(
    turned: Mapping[str, Floats], bad: Bools, budget: float, start: Bools
) -> dict[str, float]:
    """Limits of badness by check, added to what is flagged anyhow while the budget lasts."""
    cuts: dict[str, float] = {}
    flagged = start.copy()
    n_bad, n_good = int(bad.sum()), int((~bad).sum())
    allowed = math.floor(budget * (~bad).sum() + 1e-9)
    while True:
        best: tuple[float, int, str, float] | None = None
        for name, score in turned.items():
            for cut in _candidates(score):
                if cut >= cuts.get(name, np.inf):
                    continue
                more = flagged | (score > cut)
                false = int(more[~bad].sum())
                gained = int(more[bad].sum() - flagged[bad].sum())
                cost = false - int(flagged[~bad].sum())
                # Chance adds bad results as it adds good ones; a sign adds them twice as often.
                if false > allowed or gained < 2 or gained * n_good < 2 * cost * n_bad:
                    continue
                # A limit between two good results finds as many bad ones at the next one's cost.
                key = (gained / (cost + 1.0), gained)
                if best is None or key > best[:2]:
                    best = (*key, name, cut)
        if best is None:
            return cuts
        cuts[best[2]] = best[3]
        flagged |= turned[best[2]] > best[3]


def _candidates(score: Floats) -> Floats:
    """Cuts between neighbouring values, at most 60."""
    known = np.unique(score[np.isfinite(score)])
    if known.size < 2:
        return np.empty(0)
    middle = 0.5 * (known[1:] + known[:-1])
    if middle.size > 60:
        middle = np.quantile(middle, np.linspace(0, 1, 60))
    return np.asarray(middle, dtype=float)


def _held_out(
    turned: Mapping[str, Floats], bad: Bools, budget: float, start: Bools, *, of: Codes, seed: int
) -> Bools:
    """Flag every result by limits that were chosen without it and others of its subject."""
    rng = np.random.default_rng(seed)
    any_bad = np.bincount(of, weights=bad) > 0
    folds = np.empty(len(any_bad), int)
    for group in (any_bad, ~any_bad):
        at = rng.permutation(np.flatnonzero(group))
        folds[at] = np.arange(at.size) % _FOLDS
    fold = folds[of]
    found = np.zeros(len(bad), bool)
    for k in range(_FOLDS):
        rest = fold != k
        cuts = _greedy({n: s[rest] for n, s in turned.items()}, bad[rest], budget, start[rest])
        found[~rest] = _flagged({n: s[~rest] for n, s in turned.items()}, cuts)
    return found | start


def _beyond(spec: Spec, values: Floats, levels: Sequence[str]) -> Bools:
    """Whether values lie beyond one of a check's present limits; a missing one lies nowhere."""
    limits = [getattr(spec, level) for level in levels]
    return np.array(
        [not math.isnan(v) and any(spec.exceeds(v, one) for one in limits) for v in values], bool
    )


def _share(flags: Bools) -> float:
    return 100.0 * float(flags.mean()) if flags.size else math.nan


def _row(
    name: str,
    spec: Spec,
    score: Floats,
    *,
    bad: Bools,
    now: Bools,
    chosen: Mapping[str, float],
    limit: Limit,
    enough: bool,
    of: Codes,
) -> dict[str, object]:
    known = ~np.isnan(score)
    n_bad, n_good = int((known & bad).sum()), int((known & ~bad).sum())
    row: dict[str, object] = {
        "check": name, "n_bad": n_bad, "n_good": n_good, "review_now": spec.limit_words("review"),
        "found_now_pct": _share(now[known & bad]), "false_now_pct": _share(now[known & ~bad]),
        "review_proposed": "", "note": "",
    }  # fmt: skip
    if min(n_bad, n_good) >= 2 and len(np.unique(score[known])) > 1:
        # Infinite values are beyond all others; only their order counts here.
        one = auc(np.clip(score[known], *finite_ends(score)), bad[known])
        row["auc"] = one.value
        inflation = inflation_of_subjects(one, of[known])
        row["auc_low"], row["auc_high"] = interval(one, inflation=inflation)
    if name in chosen:
        beyond = score > chosen[name]
        row |= {
            "review_proposed": limit_words(limit, spec),
            "found_pct": _share(beyond[known & bad]),
            "false_pct": _share(beyond[known & ~bad]),
        }
    else:
        row["note"] = (
            "finds no further bad results within the budget"
            if enough
            else f"too few: bad results of {FEWEST} subjects and good ones of {FEWEST} are needed"
        )
    return row


def _roc(name: str, spec: Spec, score: Floats, bad: Bools) -> list[dict[str, object]]:
    known = np.isfinite(score)
    if not (known & bad).any() or not (known & ~bad).any():
        return []
    return [
        {
            "check": name,
            "limit": limit_words(limit_at(spec, cut), spec),
            "false_pct": _share(score[known & ~bad] > cut),
            "found_pct": _share(score[known & bad] > cut),
        }
        for cut in _candidates(score[known])[::-1]
    ]


def _together(limits: str, flags: Bools, bad: Bools, of: Codes) -> list[dict[str, object]]:
    rows = []
    every = np.ones(len(bad), bool)
    for measure, use in (("found", bad), ("false alarms", ~bad), ("to review", every)):
        low, high = wilson_of_subjects(flags[use], of[use], alpha=0.05)
        rows.append(
            {
                "limits": limits, "measure": measure, "n": int(use.sum()),
                "share_pct": _share(flags[use]), "low_pct": 100 * low, "high_pct": 100 * high,
            }
        )  # fmt: skip
    return rows


def bad_results(verdicts: Sequence[str], *, bad: Sequence[str]) -> Bools:
    """Say which verdicts are bad ones."""
    return np.array([v in bad for v in verdicts], bool)
