"""Quality-aware acquisition: spokes are added until what is made of them is good enough.

Machado I, Puyol-Anton E, Hammernik K, et al. STACOM 2021, arXiv:2109.07955.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from popscan.recon import reconstruct
from popscan.recon.radial import first_spokes
from popscan.records import KSpace, PopscanError, Scan

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Look(Generic[T]):
    """One look at the data while the scan goes on.

    Attributes
    ----------
    n_spokes
        Spokes per frame so far.
    scan
        Their reconstruction.
    judged
        The judge's findings.
    passed
        Whether the scan may end here.
    """

    n_spokes: int
    scan: Scan
    judged: T
    passed: bool


def acquire_until(
    kspace: KSpace,
    *,
    looks: Sequence[int],
    judge: Callable[[Scan], tuple[bool, T]],
    method: str = "cg_nufft",
    **options: Any,
) -> list[Look[T]]:
    """Reconstruct more and more spokes until a judge is content, or all are there.

    Parameters
    ----------
    kspace
        A whole scan, whose spokes lie in the order in which they were collected.
    looks
        Numbers of spokes per frame at which the scan is judged, rising.
    judge
        Of a reconstruction, whether the scan may end, and what else is known then.
    method, **options
        As for `popscan.recon.reconstruct`.

    Returns
    -------
    list of Look
        In order; the last one has passed, or is that of the most spokes of `looks`.

    Raises
    ------
    PopscanError
        If `looks` is empty or does not rise.
    SubjectError
        As `popscan.recon.reconstruct` and `popscan.recon.radial.first_spokes`.
    """
    if not looks or any(b <= a for a, b in pairwise(looks)):
        raise PopscanError(f"looks {list(looks)}: rising numbers of spokes are expected")
    seen: list[Look[T]] = []
    for n_spokes in looks:
        scan = reconstruct(first_spokes(kspace, n_spokes), method=method, **options)
        passed, judged = judge(scan)
        seen.append(Look(n_spokes=n_spokes, scan=scan, judged=judged, passed=passed))
        if passed:
            break
    return seen
