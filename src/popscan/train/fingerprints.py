"""Training of networks that map fingerprints to T1 and T2."""

from __future__ import annotations

import torch

from popscan.fingerprinting.dictionary import Dictionary
from popscan.fingerprinting.network import MapNetwork, aligned
from popscan.fingerprinting.phantoms import Phantoms

#: Each map's noise is drawn from 0 to this share of a density of 1.
NOISE_SD = 0.02


def fit_maps(
    network: MapNetwork,
    dictionary: Dictionary,
    phantoms: Phantoms,
    *,
    steps: int,
    batch: int = 6,
    side: int = 24,
    rate: float = 2e-3,
    seed: int = 0,
) -> list[float]:
    """Fit a network to fingerprints of made-up maps and return the loss of each step.

    The loss is the mean absolute error of log T1 and log T2, a relative error.

    Parameters
    ----------
    network
        Changed in place.
    dictionary, phantoms
        Of one sequence.
    steps, batch, side
        Steps, maps per step, pixels per side.
    rate
        Highest learning rate; it rises and falls in one cycle.
    seed
        Of the noise levels.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 1))
    losses = []
    network.train()
    for _ in range(steps):
        noise_sd = NOISE_SD * float(torch.rand((), generator=generator))
        drawn = phantoms.draw(batch, side=side, noise_sd=noise_sd)
        truth = torch.stack([torch.from_numpy(m) for m in (drawn.t1_ms, drawn.t2_ms)], dim=1)
        guess = network(aligned(dictionary, drawn.signals))
        loss = (guess - truth.log().float()).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses
