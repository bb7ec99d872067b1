"""Networks that register or help to, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch

from popscan.records import PopscanError
from popscan.register.deformations import DeformationNetwork
from popscan.register.flows import Tensor
from popscan.register.network import PairNetwork
from popscan.register.unrolled import UnrolledNetwork
from popscan.register.velocities import Grid


class Registers(Protocol):
    """What every network does that registers in one pass or a few steps."""

    def between(self, fixed: Tensor, moving: Tensor, *, stiffness: Tensor, control: Grid) -> Tensor:
        """Return the velocity of pairs, as `PairNetwork.between`."""
        ...


#: Architecture, as recipes and models name it -> its network.
ARCHITECTURES: dict[str, Callable[..., torch.nn.Module]] = {
    "pairs": PairNetwork,
    "gradirn": partial(UnrolledNetwork, "gradirn"),
    "vr_net": partial(UnrolledNetwork, "vr_net"),
    "deformations": DeformationNetwork,
}


def build_registration(architecture: str, n_outputs: int, **arguments: Any) -> torch.nn.Module:
    """Return a freshly initialised network; called as builders of other networks are.

    Raises
    ------
    PopscanError
        For an architecture that is not in `ARCHITECTURES`, or arguments that it does not take.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise PopscanError(f"unknown architecture {architecture!r} of a registration; {known}")
    try:
        return ARCHITECTURES[architecture](**arguments)
    except (TypeError, ValueError) as error:
        raise PopscanError(f"architecture {architecture} cannot be built: {error}") from error
