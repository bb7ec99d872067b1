"""What a check is: its measured value, its limits, its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from popscan.names import did_you_mean
from popscan.records import PopscanError

Limit = float | tuple[float, float] | None


class Verdict(StrEnum):
    """What a check, or a subject, comes to. `NOT_ASSESSED` counts neither for nor against."""

    PASS = "pass"
    REVIEW = "review"
    FAIL = "fail"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class Measured:
    """What a check's function found.

    Attributes
    ----------
    value
        The number that is held against the limits; NaN when it could not be measured.
    note
        Where the number comes from, or why there is none.
    assessed
        False when the question does not arise for this scan (a volume curve of two frames): then
        there is no verdict. A value that should be there and is not stays NaN with True: review.
    """

    value: float
    note: str = ""
    assessed: bool = True


def not_assessed(why: str) -> Measured:
    """Say that a check does not apply to this scan."""
    return Measured(math.nan, why, assessed=False)


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check on one scan.

    Attributes
    ----------
    name, kind, value, threshold, unit
        Which check (a key of `CHECKS`), what it judges (as in `Spec`), its value, the limits in
        words (``review > 5, fail > 20``), the unit of value and limits.
    verdict, message
        What it comes to, and a sentence for a person.
    """

    name: str
    kind: str
    value: float
    threshold: str
    unit: str
    verdict: Verdict
    message: str

    def row(self) -> dict[str, Any]:
        """Return the check as a row of the table of checks (see `DICTIONARY`)."""
        return {
            "check": self.name,
            "kind": self.kind,
            "value": self.value,
            "threshold": self.threshold,
            "unit_of_value": self.unit,
            "verdict": str(self.verdict),
            "message": self.message,
        }


_FITTED = "own definition; limits set on expert-labelled and simulated scans"
#: Of checks whose limit says that a fault is there at all.
DEFINED = "definition; no limit was fitted"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Definition of a check.

    Attributes
    ----------
    measure
        Function from what the protocol's checks share of a scan to a `Measured`.
    kind
        ``image`` needs no labels as a rule; ``segmentation`` judges the labels, ``reference`` an
        expert's.
    unit, meaning, source
        Unit of the value and of the limits; what is measured; where the idea or limits come from.
    bad
        Which side is bad: ``high`` (value > limit), ``low`` (value < limit) or ``outside`` (not
        within the pair low, high).
    review, fail
        Default limits; None for a level that this check never reaches.
    """

    measure: Callable[..., Measured]
    kind: Literal["image", "segmentation", "reference"]
    unit: str
    meaning: str
    bad: Literal["high", "low", "outside"]
    review: Limit
    fail: Limit
    source: str = ""

    def __post_init__(self) -> None:
        """State where the limits come from if nothing does: 0 of a count of faults is no fit."""
        if not self.source:
            fitted = not (self.bad == "high" and self.review == 0 and self.fail in (None, 0))
            object.__setattr__(self, "source", _FITTED if fitted else DEFINED)

    def exceeds(self, value: float, limit: Limit) -> bool:
        """Return whether `value` lies on the bad side of `limit`."""
        if limit is None:
            return False
        if isinstance(limit, tuple):
            return not limit[0] <= value <= limit[1]
        return value > limit if self.bad == "high" else value < limit

    def judge(self, value: float) -> Verdict:
        """Hold a value against the limits; NaN is `Verdict.REVIEW`, never a silent pass."""
        if math.isnan(value):
            return Verdict.REVIEW
        if self.exceeds(value, self.fail):
            return Verdict.FAIL
        return Verdict.REVIEW if self.exceeds(value, self.review) else Verdict.PASS

    @property
    def threshold(self) -> str:
        """The limits in words."""
        levels = [f"{level} {self.limit_words(level)}" for level in ("review", "fail")]
        return ", ".join(words for words in levels if not words.endswith(" never")) or "none"

    def limit_words(self, level: str) -> str:
        """One limit in words; ``never`` for a level that the check does not reach."""
        limit: Limit = getattr(self, level)
        if limit is None:
            return "never"
        if isinstance(limit, tuple):
            return f"outside {limit[0]:g} to {limit[1]:g}"
        return f"{'>' if self.bad == 'high' else '<'} {limit:g}"


def _limit(name: str, key: str, spec: Spec, value: Any) -> Limit:
    """Read a limit of an override: a number, a pair for ``outside`` checks, or None."""
    if value is None:
        return None
    expected = "two numbers, low and high" if spec.bad == "outside" else "a number"
    try:
        if spec.bad == "outside":
            low, high = (_finite(part) for part in value)
            if low > high:
                raise ValueError
            return low, high
        number = _finite(value)
    except (TypeError, ValueError):
        raise PopscanError(
            f"qc threshold {name}.{key}: expected {expected}, found {value!r}"
        ) from None
    return number


def _finite(value: Any) -> float:
    """Read a number; what YAML makes of ``yes`` is none."""
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number


def threshold_problems(specs: Mapping[str, Spec], thresholds: Mapping[str, Any]) -> list[str]:
    """List everything that is wrong with a mapping of thresholds; empty when nothing is."""
    problems = []
    for name, levels in thresholds.items():
        if name not in specs:
            hint = did_you_mean(str(name), specs) or f"; known checks: {', '.join(specs)}"
            problems.append(f"there is no qc check {name!r}{hint}")
        elif not isinstance(levels, Mapping):
            problems.append(f"qc threshold {name}: expected {{review: .., fail: ..}}")
        else:
            for key, value in levels.items():
                if key not in ("review", "fail"):
                    problems.append(
                        f"qc threshold {name}: unknown key {key!r}; known: review, fail"
                    )
                    continue
                try:
                    _limit(name, key, specs[name], value)
                except PopscanError as error:
                    problems.append(str(error))
    return problems


def order_problems(specs: Mapping[str, Spec], thresholds: Mapping[str, Any]) -> list[str]:
    """List checks that fail a scan before they review it, so that ``review`` never happens.

    Parameters
    ----------
    specs, thresholds
        As for `with_thresholds`, without `threshold_problems`.
    """
    changed = with_thresholds(specs, thresholds)
    return [
        f"qc threshold {name}: fail {changed[name].limit_words('fail')} is reached before review "
        f"{changed[name].limit_words('review')}; expected the limit of fail beyond that of review, "
        "or both equal (null switches a level off)"
        for name in thresholds
        if not _in_order(changed[name])
    ]


def _in_order(spec: Spec) -> bool:
    """Whether a value that fails would be reviewed if there were no level ``fail``."""
    review, fail = spec.review, spec.fail
    if review is None or fail is None:
        return True
    if isinstance(review, tuple) and isinstance(fail, tuple):
        return fail[0] <= review[0] and fail[1] >= review[1]
    return fail == review or (not isinstance(fail, tuple) and spec.exceeds(fail, review))


def with_thresholds(specs: Mapping[str, Spec], thresholds: Mapping[str, Any]) -> dict[str, Spec]:
    """Replace default limits.

    Parameters
    ----------
    specs
        The checks.
    thresholds
        Check name -> ``{"review": .., "fail": ..}``, either key optional; None switches a level
        off.

    Raises
    ------
    PopscanError
        Listing every unknown check or key and every limit that is no number.
    """
    problems = threshold_problems(specs, thresholds)
    if problems:
        raise PopscanError("; ".join(problems))
    changed = dict(specs)
    for name, levels in thresholds.items():
        spec = specs[name]
        review, fail = (
            _limit(name, key, spec, levels[key]) if key in levels else getattr(spec, key)
            for key in ("review", "fail")
        )
        changed[name] = replace(spec, review=review, fail=fail)
    return changed
