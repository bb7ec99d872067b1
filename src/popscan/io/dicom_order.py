"""In which order the frames of one slice were taken, and how sure that is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.io.dicom_header import Plane

#: Times of the day further apart than this lie on both sides of midnight.
_HALF_DAY_S = 43_200.0
#: Trigger times count as such while at least this share of them differs.
_DISTINCT_SHARE = 0.5
#: Order that no header gives: the names of the files.
GUESS = "file_name"


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts numbers within names by their value: IM9 before IM10.

    Examples
    --------
    >>> sorted(["IM10", "IM9", "IM1"], key=natural)
    ['IM1', 'IM9', 'IM10']
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple(
        (1, int(part[:300]), part) if n % 2 else (0, 0, part) for n, part in enumerate(parts)
    )


def day_seconds(text: str) -> float:
    """Seconds since midnight of a DICOM time (HHMMSS.FFF); NaN where it is none.

    Examples
    --------
    >>> day_seconds("100001.5")
    36001.5
    """
    match = re.fullmatch(r"(\d\d):?(\d\d):?(\d\d(?:\.\d{1,6})?)", text)
    if match is None:
        return math.nan
    return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + float(match[3])


def order_frames(planes: Sequence[Plane]) -> tuple[list[Plane], str]:
    """Sort the frames of one slice by time, and say by which tag.

    TriggerTime if every frame has its own. Where some are tied or lack it, another tag that agrees
    with the trigger times of the others: then the order still counts as that of TriggerTime.
    Without trigger times TemporalPositionIdentifier, AcquisitionTime, InstanceNumber, ContentTime;
    else the file names in natural order, as `GUESS`.
    """
    triggers = [p.trigger_ms for p in planes]
    if not any(map(math.isnan, triggers)) and len(set(triggers)) == len(planes):
        return sorted(planes, key=lambda p: p.trigger_ms), "trigger_time"
    others = _others(planes)
    if has_triggers(planes):
        agreed = agreed_order(planes)
        if agreed is not None:
            return agreed, "trigger_time"
        if not any(map(math.isnan, triggers)):
            second = others[0][1] if others else sorted(planes, key=_name)
            ordered = sorted(second, key=lambda p: p.trigger_ms)
            return ordered, "trigger_time" if others else GUESS
    if others:
        name, ordered = others[0]
        return ordered, name
    return sorted(planes, key=_name), GUESS


def agreed_order(planes: Sequence[Plane]) -> list[Plane] | None:
    """Order by another tag than TriggerTime along which the untied trigger times rise, if any."""
    return next((ordered for _, ordered in _others(planes) if _rises(ordered)), None)


def _others(planes: Sequence[Plane]) -> list[tuple[str, list[Plane]]]:
    return [(name, found) for name in _OTHER if (found := _by(name, planes)) is not None]


def has_triggers(planes: Sequence[Plane]) -> bool:
    """Whether the trigger times of a slice distinguish most of its frames."""
    known = [p.trigger_ms for p in planes if not math.isnan(p.trigger_ms)]
    return len(set(known)) > max(1.0, _DISTINCT_SHARE * len(planes))


def own_triggers_ms(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Trigger time of each frame; NaN where another frame has the same, or it has none."""
    often = Counter(p.trigger_ms for p in planes)
    times = [p.trigger_ms if often[p.trigger_ms] == 1 else math.nan for p in planes]
    return np.array(times, dtype=float)


def _rises(ordered: Sequence[Plane]) -> bool:
    """Whether the trigger times that only one frame has rise in this order."""
    times = own_triggers_ms(ordered)
    return bool(np.all(np.diff(times[np.isfinite(times)]) > 0))


def _name(plane: Plane) -> Any:
    path = Path(plane.path)
    return (natural(path.name), natural(str(path.parent)), plane.frame)


def _by(tag: str, planes: Sequence[Plane]) -> list[Plane] | None:
    """Sort by a tag; None unless each frame has its own value."""
    values = np.array([_OTHER[tag](plane) for plane in planes], dtype=float)
    if tag.endswith("_time") and np.ptp(values) > _HALF_DAY_S:
        values = np.where(values < _HALF_DAY_S, values + 2 * _HALF_DAY_S, values)
    if not np.isfinite(values).all() or len(set(values.tolist())) < len(planes):
        return None
    return [planes[i] for i in np.argsort(values, kind="stable")]


def _known(number: int) -> float:
    return float(number) if number >= 0 else math.nan


_OTHER: dict[str, Callable[[Plane], float]] = {
    "temporal_position": lambda p: _known(p.temporal),
    "acquisition_time": lambda p: day_seconds(p.acquisition_time),
    "instance_number": lambda p: _known(p.instance),
    "content_time": lambda p: day_seconds(p.content_time),
}
