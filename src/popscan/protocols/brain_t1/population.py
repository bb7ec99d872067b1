"""Who the digital brains belong to: a population with known truth, biases and faults.

Head size follows sex, atrophy follows age and diagnosis; neither site nor anything else has an
effect on brain or image unless a bias switch says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError
from scipy.special import ndtri

from popscan.records import PopscanError
from popscan.yamlfile import problem_text

#: Head size by sex, mL (mean, sd), as adults of both sexes have it, rounded.
_ICV_ML = {"female": (1400.0, 110.0), "male": (1580.0, 125.0)}
#: Where ``age_group`` divides.
_OLD = 55.0
#: Attribute -> its groups.
_GROUPS: Mapping[str, tuple[str, str]] = {
    "sex": ("female", "male"),
    "age_group": (f"under {_OLD:g}", f"{_OLD:g} and over"),
    "diagnosis": ("healthy", "dementia"),
    "site": ("A", "B"),
}
#: What each kind of bias does at strength 1.
BIASES: Mapping[str, str] = {
    "image_quality": "noise four times as large",
    "contrast": "60% of the contrast between grey and white matter is lost",
    "deep_brightness": "deep grey matter is as bright as white matter, as sequences differ in it",
    "cortical_thickness": "the cortex is 3 mm thinner",
    "site": "all subjects of the group are scanned at site B (0: chance)",
}
#: What each fault does; the column ``fault`` of the population holds these names or is empty.
FAULTS: Mapping[str, str] = {
    "motion": "the head moved: ghosts along the second axis",
    "truncated": "the field of view ends above the cerebellum",
}
_DRAWS = ("sex", "age", "site", "diagnosis", "icv", "atrophy", "fault")


class Bias(BaseModel):
    """One group whose data are made different.

    Attributes
    ----------
    attribute, group
        Column and value of the population that mark the group, e.g. ``site`` and ``B``.
    kind
        One of `BIASES`.
    strength
        0 (none) to 1 (as described in `BIASES`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: str
    group: str
    kind: str
    strength: StrictFloat | StrictInt = Field(ge=0, le=1)


def parse_bias(bias: Sequence[Mapping[str, Any]] | None) -> tuple[Bias, ...]:
    """Check the biases of a config.

    Raises
    ------
    PopscanError
        For an unknown key, kind or attribute, or a strength outside 0..1.
    """
    parsed = []
    for place, one in enumerate(bias or ()):
        where = f"simulate.bias[{place}]"
        try:
            found = Bias.model_validate(dict(one))
        except ValidationError as error:
            items = error.errors(include_url=False, include_context=False)
            raise PopscanError(problem_text(items[0], where=where)) from error
        if found.kind not in BIASES:
            raise PopscanError(f"{where}.kind: {found.kind!r}; known are {', '.join(BIASES)}")
        known = ("sex", "age_group", "diagnosis", *(() if found.kind == "site" else ("site",)))
        if found.attribute not in known:
            raise PopscanError(
                f"{where}.attribute: {found.attribute!r}; for {found.kind} there are "
                f"{', '.join(known)}"
            )
        if found.group not in _GROUPS[found.attribute]:
            raise PopscanError(
                f"{where}.group: {found.group!r}; of {found.attribute} there are "
                f"{', '.join(_GROUPS[found.attribute])}"
            )
        parsed.append(found)
    return tuple(parsed)


def _check_faults(faults: Mapping[str, float] | None) -> dict[str, float]:
    rates = {name: float(rate) for name, rate in (faults or {}).items()}
    if unknown := sorted(set(rates) - set(FAULTS)):
        raise PopscanError(f"simulate.faults: unknown {unknown}; known are {sorted(FAULTS)}")
    if any(not rate >= 0 for rate in rates.values()) or sum(rates.values()) > 1 + 1e-9:
        raise PopscanError("simulate.faults: rates of at least 0, at most 1 together, are expected")
    return {name: rates[name] for name in FAULTS if name in rates}


def sample_population(
    n: int,
    *,
    seed: int,
    bias: Sequence[Mapping[str, Any]] | None = None,
    faults: Mapping[str, float] | None = None,
    allocation: str = "random",
    age_years: tuple[float, float] = (20.0, 90.0),
    female_share: float = 0.5,
    dementia_share: float = 0.25,
) -> pd.DataFrame:
    """Draw participants.

    With random allocation the first participants stay as they are when `n` grows.

    Parameters
    ----------
    n, seed
        How many, and which.
    bias
        Bias switches: `Bias`; several on one group add up.
    faults
        Rate of each fault: `FAULTS`.
    allocation
        ``random``: every attribute is drawn; ``quota``: sexes, sites, diagnoses and faults come in
        their shares, rounded, in random order.
    age_years
        Youngest and oldest; evenly between.
    female_share, dementia_share
        Share of women, and of ``diagnosis`` dementia: 6% less tissue than age alone takes.

    Returns
    -------
    DataFrame
        ``participant_id, sex, age_years, age_group, site, diagnosis`` and hidden truth: ``fault``,
        ``truth_icv_ml``, ``truth_atrophy_pct`` (tissue lost of a young adult's),
        ``truth_noise``, ``truth_contrast_loss``, ``truth_deep_brightness``, ``truth_thinning_mm``.

    Raises
    ------
    PopscanError
        For an option that cannot be.
    """
    if n < 0 or allocation not in ("random", "quota"):
        raise PopscanError(f"cannot sample {n} participants by allocation {allocation!r}")
    biases, rates = parse_bias(bias), _check_faults(faults)
    rng = np.random.default_rng([int(seed), 0x6272])
    table = np.clip(rng.random((n, len(_DRAWS))), 1e-9, 1 - 1e-9).T
    draw = dict(zip(_DRAWS, table, strict=True))
    if allocation == "quota":
        for name in ("sex", "site", "diagnosis", "fault"):
            draw[name] = (rng.permutation(n) + 0.5) / max(n, 1)
    age = age_years[0] + draw["age"] * (age_years[1] - age_years[0])
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{index + 1:04d}" for index in range(n)],
            "sex": np.where(draw["sex"] < female_share, "female", "male").astype(object),
            "age_years": np.round(age, 1),
            "age_group": np.where(age >= _OLD, f"{_OLD:g} and over", f"under {_OLD:g}"),
            "site": "",
            "diagnosis": np.where(draw["diagnosis"] < dementia_share, "dementia", "healthy"),
        }
    )
    people["site"] = np.where(draw["site"] < _share_at_b(people, biases), "B", "A")
    edges = np.cumsum([0.0, *rates.values()])
    people["fault"] = ""
    for name, low, high in zip(rates, edges[:-1], edges[1:], strict=True):
        people.loc[(draw["fault"] >= low) & (draw["fault"] < high), "fault"] = name
    mean, sd = np.array([_ICV_ML[s] for s in people["sex"]]).reshape(n, 2).T
    people["truth_icv_ml"] = np.round(mean + sd * np.clip(ndtri(draw["icv"]), -2.5, 2.5), 1)
    # Slow until about 55, then faster: the course that cross-sections of adults show.
    loss = 0.12 * (age - 20) + 0.010 * np.maximum(age - 55, 0) ** 2 / 1.5
    loss = loss + 1.5 * ndtri(draw["atrophy"]) + 6.0 * (people["diagnosis"] == "dementia")
    people["truth_atrophy_pct"] = np.round(np.maximum(loss, 0), 2)
    return _with_biases(people, biases)


def _share_at_b(people: pd.DataFrame, biases: Sequence[Bias]) -> NDArray[np.float64]:
    share = np.full(len(people), 0.5)
    for bias in biases:
        if bias.kind == "site":
            hit = (people[bias.attribute].astype(str) == bias.group).to_numpy()
            share = np.where(hit, share + 0.5 * bias.strength, share - 0.5 * bias.strength)
    return np.clip(share, 0, 1)


def _with_biases(people: pd.DataFrame, biases: Sequence[Bias]) -> pd.DataFrame:
    out = people.assign(
        truth_noise=1.0, truth_contrast_loss=0.0, truth_deep_brightness=0.0, truth_thinning_mm=0.0
    )
    for bias in biases:
        hit = out[bias.attribute].astype(str) == bias.group
        if bias.kind == "image_quality":
            out.loc[hit, "truth_noise"] *= 1 + 3 * bias.strength
        elif bias.kind == "contrast":
            kept = (1 - out.loc[hit, "truth_contrast_loss"]) * (1 - 0.6 * bias.strength)
            out.loc[hit, "truth_contrast_loss"] = 1 - kept
        elif bias.kind == "deep_brightness":
            kept = (1 - out.loc[hit, "truth_deep_brightness"]) * (1 - bias.strength)
            out.loc[hit, "truth_deep_brightness"] = 1 - kept
        elif bias.kind == "cortical_thickness":
            out.loc[hit, "truth_thinning_mm"] += 3.0 * bias.strength
    return out
