"""Networks that reconstruct, by the architecture that a recipe or a bundle names."""

from __future__ import annotations

from typing import Any

import torch

from popscan.recon.cascade import build_cascade
from popscan.recon.domain import DomainTransform
from popscan.recon.kt_network import KtNetwork
from popscan.recon.unrolled import VariationalNetwork
from popscan.records import PopscanError

#: Architecture -> its network, of those that are given whole series of k-space.
SERIES: dict[str, type[torch.nn.Module]] = {
    "varnet": VariationalNetwork,
    "kt_net": KtNetwork,
    "dautomap": DomainTransform,
}


def build_reconstruction(architecture: str, n_outputs: int, **arguments: Any) -> torch.nn.Module:
    """Return a freshly initialised network; called as builders of other networks are.

    Raises
    ------
    PopscanError
        For an unknown architecture, or arguments that it does not take.
    """
    if architecture not in SERIES:
        return build_cascade(architecture, n_outputs, **arguments)
    try:
        return SERIES[architecture](**arguments)
    except (TypeError, ValueError) as error:
        raise PopscanError(f"architecture {architecture} cannot be built: {error}") from error
