"""Who is trained on and who is kept for validation: a function of the cohort and a seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from popscan.records import PopscanError


def stratified_split(
    strata: Mapping[str, str], *, n_validation: int, seed: int
) -> tuple[list[str], list[str]]:
    """Split subjects so that every stratum gives its share to validation.

    Parameters
    ----------
    strata
        Subject -> stratum (a disease group, a sex, a hospital).
    n_validation
        Subjects to keep for validation; each stratum gives its proportional share, rounded so
        that the total fits (largest remainders first, ties by name).
    seed
        Which ones.

    Returns
    -------
    Training and validation subjects, each sorted.
    """
    if not 0 < n_validation < len(strata):
        raise PopscanError(f"cannot keep {n_validation} of {len(strata)} subjects for validation")
    names = sorted(set(strata.values()))
    members = {name: sorted(u for u, s in strata.items() if s == name) for name in names}
    exact = {name: n_validation * len(members[name]) / len(strata) for name in names}
    counts = {name: int(exact[name]) for name in names}
    rest = sorted(names, key=lambda name: (counts[name] - exact[name], name))
    for name in rest[: n_validation - sum(counts.values())]:
        counts[name] += 1
    rng = np.random.default_rng(seed)
    validation = sorted(
        str(u) for name in names for u in rng.choice(members[name], counts[name], replace=False)
    )
    return sorted(set(strata) - set(validation)), validation
