"""Private training: what a subject's data can change of the weights is bounded (DP-SGD).

The unit of privacy is the subject, with all slices, frames and visits (Abadi et al., CCS 2016,
arXiv:1607.00133, with subjects in place of examples). In every step each subject takes part with
the same probability, independently of the others (Poisson sampling: batches of a fixed size would
not have the epsilon that is stated). The gradient of each one's slices is cut to a largest norm,
the sum gets Gaussian noise, and is divided by the number of subjects that is expected.

Cutting gradients biases their mean, the more the longer they are. Bias-Aware Minimisation (Knolle
et al. 2023, arXiv:2308.12018) minimises the loss of each subject plus a multiple of its gradient's
norm: to first order, the gradient is taken a step of that length along itself. The step depends on
that subject alone and what comes of it is cut as before, so the guarantee stays what it is.

The guarantee is of the weights. It holds if the seed is secret: noise and sampling follow from it.
They are drawn by numpy, which takes the whole seed; torch's generator takes 32 bits of it, which
can be tried out. Neither is a cryptographic generator.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.records import PopscanError

if TYPE_CHECKING:
    from popscan.train.recipe import Recipe
    from popscan.train.sampler import Sampler

#: Seeds below can be guessed.
LEAST_SEED = 2**48
_WHO, _NOISE, _SLICES = 0, 1, 2

Loss = Callable[[], torch.Tensor]
Gradient = Sequence[torch.Tensor | None]


@dataclass(frozen=True, kw_only=True)
class Private:
    """How a training is made private; not at all by default.

    Attributes
    ----------
    noise
        Standard deviation of the noise over `clip` (the noise multiplier); 0 trains as usual.
    clip
        Largest norm of a subject's gradient.
    sampling_rate
        Probability with which a subject takes part in a step.
    slices
        Slices of a subject whose mean loss is taken in a step.
    delta
        Probability with which the bound by epsilon need not hold; less than one over the number of
        subjects.
    bias_aware
        Length of the step along each subject's own gradient behind which it is taken (Bias-Aware
        Minimisation); 0 takes it where the weights are.
    """

    noise: float = 0.0
    clip: float = 1.0
    sampling_rate: float = 0.1
    slices: int = 4
    delta: float = 1e-5
    bias_aware: float = 0.0


def check_private(
    how: Private, *, seed: int, beside: Mapping[str, bool], where: str = "recipe"
) -> Private:
    """Return `how` if it can be done.

    Parameters
    ----------
    how
        As the recipe has it.
    seed
        Of the recipe.
    beside
        What does not go with it -> whether the recipe has it.
    where
        What an error is about.

    Raises
    ------
    PopscanError
        For a number out of its range, a seed that can be guessed, or what does not go with it.
    """
    problem = ""
    if not 0 <= how.noise <= 1e3:
        problem = f"noise: a number from 0 to 1000 is expected; found {how.noise}"
    elif not 0 < how.clip <= 1e6:
        problem = f"clip: a norm above 0 is expected; found {how.clip}"
    elif not 0 < how.sampling_rate <= 1:
        problem = f"sampling_rate: above 0 and up to 1 is expected; found {how.sampling_rate}"
    elif not 1 <= how.slices <= 4096:
        problem = f"slices: a number from 1 to 4096 is expected; found {how.slices}"
    elif not 0 < how.delta < 1:
        problem = f"delta: above 0 and below 1 is expected; found {how.delta}"
    elif not 0 <= how.bias_aware <= 1e3:
        problem = f"bias_aware: a length from 0 to 1000 is expected; found {how.bias_aware}"
    elif how.bias_aware and not how.noise:
        problem = "bias_aware goes with noise alone"
    elif how.noise and (names := [name for name, used in beside.items() if used]):
        problem = f"does not go with {', '.join(names)}"
    elif how.noise and seed < LEAST_SEED:
        problem = (
            f"seed {seed} can be guessed, and the noise with it; take a secret one of {LEAST_SEED} "
            "or more: python -c 'import secrets; print(secrets.randbits(62))'"
        )
    if problem:
        raise PopscanError(f"{where}: private: {problem}")
    return how


def epsilon(how: Private, *, steps: int) -> float:
    """Return the epsilon of so many steps, by opacus' Renyi accountant (an upper bound).

    Neighbouring data sets differ by one subject who is in one and not in the other.

    Raises
    ------
    PopscanError
        If opacus is not installed.
    """
    return _epsilon([(how.noise, how.sampling_rate, steps)], delta=how.delta)


def _epsilon(history: Sequence[tuple[float, float, int]], *, delta: float) -> float:
    """Return the epsilon of parts (noise, sampling rate, steps), one after the other."""
    if importlib.util.find_spec("opacus") is None:
        raise PopscanError("private training needs opacus: pip install 'popscan[private]'")
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [part for part in history if part[2]]
    return float(accountant.get_epsilon(delta=delta)) if accountant.history else 0.0


def spent(recipes: Sequence[Recipe]) -> dict[str, Any] | None:
    """Return what all trainings of a bundle together spent of privacy, as its model.yaml states it.

    Returns
    -------
    dict or None
        ``unit`` (subject), ``epsilon``, ``delta``, ``accountant``, and ``trainings``: the options
        and steps of each. None where no recipe is private.

    Raises
    ------
    PopscanError
        If some of them are private and others not, or they have different deltas.
    """
    if not any(recipe.private.noise for recipe in recipes):
        return None
    if not all(recipe.private.noise for recipe in recipes):
        raise PopscanError("private: all recipes of a bundle are private, or none")
    deltas = {recipe.private.delta for recipe in recipes}
    if len(deltas) > 1:
        raise PopscanError(f"private: one delta is expected for a bundle; found {sorted(deltas)}")
    history = [(r.private.noise, r.private.sampling_rate, r.steps) for r in recipes]
    return {
        "unit": "subject",
        "epsilon": round(_epsilon(history, delta=min(deltas)), 3),
        "delta": min(deltas),
        "accountant": "Renyi (opacus), Poisson sampling of subjects",
        "trainings": [asdict(r.private) | {"steps": r.steps} for r in recipes],
    }


def check_subjects(how: Private, network: torch.nn.Module, *, n: int, where: str) -> None:
    """Refuse what voids the guarantee and is known once there are data and a network.

    Raises
    ------
    PopscanError
        If delta is too large for `n` subjects, or a layer mixes the slices of a step.
    """
    if how.delta * n >= 1:
        raise PopscanError(
            f"{where}: private: delta {how.delta:g} is too large for {n} subjects; less than "
            f"{1 / n:.2g} is expected"
        )
    if any("BatchNorm" in type(layer).__name__ for layer in network.modules()):
        raise PopscanError(f"{where}: private: batch normalisation mixes subjects; take another")


def sampled(how: Private, *, n: int, seed: int, step: int) -> NDArray[np.int64]:
    """Return who of `n` subjects takes part in a step: each with the same probability, alone."""
    rng = np.random.default_rng([seed, step, _WHO])
    return np.flatnonzero(rng.random(n) < how.sampling_rate)


def own_slices(
    how: Private, sampler: Sampler, subject: int, *, seed: int, step: int
) -> torch.Tensor:
    """Return the rows of a subject's slices in a step, drawn by their weights."""
    assert sampler.subject is not None
    rows = torch.from_numpy(np.flatnonzero(sampler.subject == subject))
    weights = sampler.weights[rows].numpy()
    if not weights.sum() > 0:
        return rows[:0]
    rng = np.random.default_rng([seed, step, _SLICES, subject])
    drawn = rng.choice(len(rows), size=how.slices, p=weights / weights.sum())
    return rows[torch.from_numpy(drawn)]


def norm_of(gradient: Gradient) -> float:
    """Return the norm of a gradient over all parameters."""
    return sum(float((g.double() ** 2).sum()) for g in gradient if g is not None) ** 0.5


def own_gradient(
    loss_of: Loss,
    parameters: Sequence[torch.nn.Parameter],
    *,
    bias_aware: float,
    generator: torch.Generator | None = None,
) -> tuple[Gradient, float]:
    """Return a subject's gradient and loss.

    Parameters
    ----------
    loss_of
        Computes the loss from the parameters as they are; called twice where `bias_aware`.
    parameters
        Of the network; as they were afterwards, to the bit.
    bias_aware
        As in `Private`. A gradient of 0, or one that is not finite, has no direction and is
        returned as it is.
    generator
        Of which the loss draws; both times it draws the same, from this and from torch's own
        (dropout).
    """
    device = parameters[0].device
    states = _random_states(generator, device)
    loss = loss_of()
    gradient = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    norm = norm_of(gradient)
    if bias_aware and 0 < norm < float("inf"):
        before = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p, g in zip(parameters, gradient, strict=True):
                if g is not None:
                    p.add_(g, alpha=bias_aware / norm)
        _restore(states, generator, device)
        gradient = torch.autograd.grad(loss_of(), list(parameters), allow_unused=True)
        with torch.no_grad():
            for p, kept in zip(parameters, before, strict=True):
                p.copy_(kept)
    return gradient, float(loss.detach())


def _random_states(generator: torch.Generator | None, device: torch.device) -> list[torch.Tensor]:
    """Return the states of whatever a loss can draw from."""
    states = [torch.get_rng_state()]
    if generator is not None:
        states.append(generator.get_state())
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def _restore(
    states: Sequence[torch.Tensor], generator: torch.Generator | None, device: torch.device
) -> None:
    """Set what `_random_states` returned."""
    torch.set_rng_state(states[0])
    if generator is not None:
        generator.set_state(states[1])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[-1], device)


def private_gradients(
    losses: Callable[[int], Loss | None],
    parameters: list[torch.nn.Parameter],
    how: Private,
    *,
    n: int,
    seed: int,
    step: int,
    generator: torch.Generator | None = None,
) -> float:
    """Write the private gradient of a step into the parameters.

    Parameters
    ----------
    losses
        What computes the mean loss of a subject's slices from the parameters as they are, by the
        subject's number; None where there is nothing to learn from.
    parameters
        Of the network.
    how, seed, step
        As in `sampled`.
    n
        Number of subjects.
    generator
        As in `own_gradient`.

    Returns
    -------
    float
        Mean loss of those who took part: not private, for the learning curve alone.
    """
    total = [torch.zeros_like(p) for p in parameters]
    seen = []
    for subject in sampled(how, n=n, seed=seed, step=step).tolist():
        loss_of = losses(subject)
        if loss_of is None:
            continue
        gradient, loss = own_gradient(
            loss_of, parameters, bias_aware=how.bias_aware, generator=generator
        )
        norm = norm_of(gradient)
        if np.isfinite(norm):  # Whoever has no finite gradient adds none.
            factor = min(1.0, how.clip / max(norm, 1e-12))
            for part, g in zip(total, gradient, strict=True):
                if g is not None:
                    part.add_(g, alpha=factor)
        seen.append(loss)
    rng = np.random.default_rng([seed, step, _NOISE])
    for parameter, part in zip(parameters, total, strict=True):
        noise = rng.normal(scale=how.noise * how.clip, size=tuple(part.shape))
        part.add_(torch.from_numpy(noise).to(part))
        parameter.grad = part / (how.sampling_rate * n)
    return float(np.mean(seen)) if seen else float("nan")
