"""Which trials an experiment has, and whom each of them trains on. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from popscan.names import natural, subject_of
from popscan.records import PopscanError

#: Fields of a mitigation that the recipe knows; the others choose data or further trainings.
RECIPE_FIELDS = ("sampling", "reweigh", "dro_step", "dro_adjustment", "adversary", "classifier")
#: Version of the code of trials and their data: raise it when their results change.
VERSION = "2"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One cell of the grid.

    Attributes
    ----------
    architecture, mitigation
        Names in the config.
    share_pct
        Share of the first group among the training subjects.
    seed
        Of the draw of subjects and of the training.
    """

    architecture: str
    mitigation: str
    share_pct: float
    seed: int

    @property
    def name(self) -> str:
        """Identifier of the trial, also of its files."""
        text = f"{self.architecture}_{self.mitigation}_{self.share_pct:g}pct_seed{self.seed}"
        safe = re.sub(r"[^A-Za-z0-9._+-]", "-", text).lstrip("._+-")
        if safe == text and len(text) <= 60:
            return text
        return f"{safe[:48]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def as_dict(self) -> dict[str, Any]:
        """Return the trial as plain data."""
        return asdict(self)


def trials(section: Mapping[str, Any]) -> list[Trial]:
    """Return the trials of an experiment's config section, in the order of tables."""
    return [
        Trial(architecture=architecture, mitigation=name, share_pct=float(share), seed=int(seed))
        for architecture in section["architectures"] or {"recipe": {}}
        for name, mitigation in section["mitigations"].items()
        for share in mitigation.get("shares_pct") or section["shares_pct"]
        for seed in section["seeds"]
    ]


def problems(section: Mapping[str, Any]) -> list[str]:
    """Return what about an experiment's config section cannot be; each names its key."""
    found = []
    groups = section["groups"]
    if len(groups) < 2 or len(set(groups)) < len(groups):
        found.append(f"experiment.groups: {groups!r}; two or more different groups are expected")
    for key in ("shares_pct", "seeds", "mitigations"):
        values = list(section[key])
        if not values or len(set(values)) < len(values):
            found.append(f"experiment.{key}: {values!r}; one or more different ones are expected")
    shares = {("shares_pct", float(share)) for share in section["shares_pct"]}
    for name, given in section["mitigations"].items():
        key = f"mitigations.{name}.shares_pct"
        shares |= {(key, float(share)) for share in given.get("shares_pct", ())}
        if given.get("crop_px", 0) > section["field_px"]:
            found.append(
                f"experiment.mitigations.{name}.crop_px: {given['crop_px']}; at most field_px "
                f"({section['field_px']}) is expected"
            )
    found += [
        f"experiment.{key}: {share:g}; 0 to 100 is expected"
        for key, share in sorted(shares)
        if not 0 <= share <= 100
    ]
    names = [trial.name for trial in trials(section)]
    if len(set(names)) < len(names):
        found.append("experiment: two trials have the same name; rename an arm or a network")
    return found


def trial_section(section: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Return what of the section a single trial depends on; other arms are left out."""
    keep = ("attribute", "groups", "n_train", "recipe", "field_px", "keep_weights")
    given = {key: section[key] for key in keep}
    # What an experiment does not use leaves its trials as they are.
    given |= {key: section[key] for key in ("audit", "train_on", "occlusion") if section.get(key)}
    if section.get("n_held_out"):
        given |= {key: section[key] for key in ("n_held_out", "flagged_pct")}
    given["architecture"] = dict(section["architectures"].get(trial.architecture, {}))
    mitigation = dict(section["mitigations"][trial.mitigation])
    mitigation.pop("shares_pct", None)
    return given | {"mitigation": mitigation, "trial": trial.as_dict()}


def baseline(mitigations: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the first arm that does nothing; empty if there is none."""
    for name, given in mitigations.items():
        if not any(v for k, v in given.items() if k not in ("shares_pct", "crop_by")):
            return name
    return ""


def group_counts(groups: Sequence[str], *, share_pct: float, n_train: int) -> dict[str, int]:
    """Return how many subjects of each group a training has; they add up to `n_train`.

    Examples
    --------
    >>> group_counts(["a", "b", "c"], share_pct=25, n_train=10)
    {'a': 2, 'b': 4, 'c': 4}
    """
    first = round(n_train * share_pct / 100)
    rest, others = n_train - first, groups[1:]
    counts = {groups[0]: first}
    for place, group in enumerate(others):
        counts[group] = rest // len(others) + (place < rest % len(others))
    return counts


def needed(section: Mapping[str, Any]) -> dict[str, int]:
    """Return how many subjects of each group the experiment needs, test subjects included.

    All of them are such as may be trained on (`may_train`).
    """
    groups, most = section["groups"], dict.fromkeys(section["groups"], 0)
    for share in {t.share_pct for t in trials(section)}:
        counts = [
            group_counts(groups, share_pct=share, n_train=n)
            for n in (section["n_train"], section.get("n_held_out", 0))
        ]
        for group in groups:
            most[group] = max(most[group], sum(count[group] for count in counts))
    return {group: n + section["n_test"] for group, n in most.items()}


def may_train(row: Mapping[str, Any], train_on: Mapping[str, str]) -> bool:
    """Return whether a subject may be trained on: its row holds the wanted values.

    Examples
    --------
    >>> may_train({"diagnosis": "healthy"}, {"diagnosis": "healthy"}), may_train({}, {})
    (True, True)
    """
    return all(str(row.get(column, "")) == value for column, value in train_on.items())


def first_visits(
    members: Mapping[str, Sequence[str]], images: Mapping[str, str] | None = None
) -> tuple[dict[str, list[str]], int]:
    """Keep one unit per subject, the first by name, so that nobody is in training and test.

    Numbers count as numbers: ``ses-2`` is before ``ses-10``.

    Parameters
    ----------
    members
        Group -> its usable units. Visits of one subject may be in different groups.
    images
        Unit -> digest of its images, where known: the same images under two names are one subject.

    Returns
    -------
    Group -> units, and how many units are left out.

    Examples
    --------
    >>> first_visits({"a": ["sub-1_ses-2", "sub-2"], "b": ["sub-1_ses-1"]})
    ({'a': ['sub-2'], 'b': ['sub-1_ses-1']}, 1)
    """
    kept: dict[str, list[str]] = {group: [] for group in members}
    seen: set[str] = set()
    known = images or {}
    pairs = [(unit, group) for group, units in members.items() for unit in units]
    for unit, group in sorted(pairs, key=lambda pair: (natural(pair[0]), pair)):
        keys = {subject_of(unit), f"images {known[unit]}" if known.get(unit) else ""} - {""}
        if not keys & seen:
            kept[group].append(unit)
        seen |= keys
    return kept, len(pairs) - sum(map(len, kept.values()))


def split_groups(
    members: Mapping[str, Sequence[str]],
    *,
    wanted: Mapping[str, int],
    n_test: int,
    seed: int,
    barred: Collection[str] = (),
) -> dict[str, dict[str, list[str]]]:
    """Split subjects into one test set for all trials and the pools that trainings draw from.

    Parameters
    ----------
    members
        Group -> its usable subjects, one unit of each (`first_visits`).
    wanted
        As of `needed`.
    n_test
        Test subjects of each group.
    seed
        Which ones.
    barred
        Subjects that may be tested but not trained on.

    Returns
    -------
    ``{"test": {group: subjects}, "pool": {group: subjects}}``, sorted.

    Raises
    ------
    PopscanError
        If a group has too few subjects; the message says how many each has and needs.
    """
    fit = {g: [u for u in members.get(g, ()) if u not in set(barred)] for g in wanted}
    short = [g for g, n in wanted.items() if len(fit[g]) < n]
    if short:
        listed = "; ".join(f"{g}: {len(fit[g])} usable, {n} needed" for g, n in wanted.items())
        raise PopscanError(
            f"experiment: too few subjects of {', '.join(short)} ({listed}, {n_test} of them for "
            "the test); lower n_train or n_test, or leave out shares_pct"
        )
    rng = np.random.default_rng([seed, 0x7E57])
    test: dict[str, list[str]] = {}
    pool: dict[str, list[str]] = {}
    for group in sorted(wanted):
        order = [str(u) for u in rng.permutation(sorted(members[group]))]
        test[group] = sorted(order[:n_test])
        pool[group] = sorted(set(order[n_test:]) - set(barred))
    return {"test": test, "pool": pool}


def training_subjects(
    pool: Mapping[str, Sequence[str]],
    groups: Sequence[str],
    *,
    share_pct: float,
    n_train: int,
    seed: int,
) -> dict[str, list[str]]:
    """Return whom a trial trains on, by group.

    With the same seed a larger share of a group contains the smaller one, and all arms of a
    composition see the same subjects: comparisons are paired.
    """
    counts = group_counts(groups, share_pct=share_pct, n_train=n_train)
    order = _orders(pool, groups, seed=seed)
    return {group: sorted(order[group][: counts[group]]) for group in groups}


def held_out_subjects(
    pool: Mapping[str, Sequence[str]],
    groups: Sequence[str],
    *,
    share_pct: float,
    n_train: int,
    n_held_out: int,
    seed: int,
) -> dict[str, list[str]]:
    """Return whom a trial chooses its threshold on, by group: composed as its training is.

    None of them is of that training (`training_subjects`) or of the test.
    """
    first = group_counts(groups, share_pct=share_pct, n_train=n_train)
    more = group_counts(groups, share_pct=share_pct, n_train=n_held_out)
    order = _orders(pool, groups, seed=seed)
    return {g: sorted(order[g][first[g] : first[g] + more[g]]) for g in groups}


def _orders(
    pool: Mapping[str, Sequence[str]], groups: Sequence[str], *, seed: int
) -> dict[str, list[str]]:
    """Return each group's subjects in the order in which a seed draws them."""
    return {
        group: [str(u) for u in np.random.default_rng([seed, i]).permutation(sorted(pool[group]))]
        for i, group in enumerate(groups)
    }
