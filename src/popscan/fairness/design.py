"""Options of an audit that travel together through every table that it makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuditDesign:
    """How groups are described and compared; the options are those of `popscan.fairness.audit`.

    Attributes
    ----------
    alpha
        1 - confidence of intervals, and level of tests.
    min_group
        Groups with fewer values are neither described nor tested.
    interval
        Kind of bootstrap interval, one of `popscan.fairness.audit.INTERVALS`.
    test
        Test of a gap, one of `popscan.fairness.audit.TESTS`.
    n_boot
        Bootstrap draws.
    seed
        Of draws and permutations.
    """

    alpha: float = 0.05
    min_group: int = 10
    interval: str = "auto"
    test: str = "mean"
    n_boot: int = 1000
    seed: int = 0
