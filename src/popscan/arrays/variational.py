"""Variational inference: a Gaussian, or a mixture of them, fitted to any log density on torch.

The family is one: components with a mean, a diagonal and a low-rank part of the covariance. One
component without low-rank part is the mean-field approximation (Hinton and van Camp 1993); with it,
correlations are kept (Ong et al. 2018, doi:10.1080/10618600.2017.1390472). Fitted by the
reparameterised gradient (Kingma and Welling, arXiv:1312.6114) without the score term, whose noise
vanishes as the fit gets exact (Roeder et al. 2017, arXiv:1703.09194).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from popscan.records import PopscanError

#: Log density of parameters up to a constant: shape (samples, parameters) to (samples,).
LogDensity = Callable[[Tensor], Tensor]
#: Steps at the end over which the bound is averaged.
_LAST = 100
#: Of a component's SD, the size that its low-rank part begins with.
_FIRST_FACTOR = 0.01


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """A mixture of Gaussians with diagonal plus low-rank covariances.

    Attributes
    ----------
    means : Tensor, shape (components, parameters)
        Means.
    sds : Tensor, shape (components, parameters)
        Square roots of the diagonal parts.
    factors : Tensor, shape (components, parameters, rank)
        Low-rank parts: covariance is ``diag(sd^2) + factor factor'``; rank may be 0.
    weights : Tensor, shape (components,)
        Weights of the components, which add up to 1.
    bound
        Evidence lower bound, averaged over the last steps of the fit; relative to the constant that
        the log density lacks. NaN if it was not fitted.
    bound_se
        Standard error of that average.
    """

    means: Tensor
    sds: Tensor
    factors: Tensor
    weights: Tensor
    bound: float = math.nan
    bound_se: float = math.nan

    @property
    def mean(self) -> Tensor:
        """Mean of each parameter, shape (parameters,)."""
        return self.weights @ self.means

    @property
    def variances(self) -> Tensor:
        """Variance of each parameter, shape (parameters,)."""
        own = self.sds**2 + (self.factors**2).sum(dim=2)
        return self.weights @ (own + (self.means - self.mean) ** 2)

    @property
    def covariance(self) -> Tensor:
        """Covariance, shape (parameters, parameters): for few parameters."""
        own = torch.diag_embed(self.sds**2) + self.factors @ self.factors.mT
        apart = self.means - self.mean
        return torch.einsum("k,kij->ij", self.weights, own + apart[:, :, None] * apart[:, None, :])

    def sample(self, count: int, *, seed: int) -> Tensor:
        """Draw parameters, shape (count, parameters)."""
        rng = torch.Generator(device=self.means.device).manual_seed(seed)
        of = torch.multinomial(self.weights, count, replacement=True, generator=rng)
        noise = _noise(count, self, rng)
        drawn = self.means[of] + self.sds[of] * noise[0]
        return drawn + torch.einsum("sdr,sr->sd", self.factors[of], noise[1])

    def log_density(self, parameters: Tensor) -> Tensor:
        """Log density, normalised, of parameters of shape (..., parameters)."""
        parts = _gaussian(self.means, self.sds, self.factors).log_prob(parameters[..., None, :])
        return torch.logsumexp(parts + self.weights.log(), dim=-1)


def fit(
    log_density: LogDensity,
    start: Tensor,
    *,
    rank: int = 0,
    components: int = 1,
    first_sd: float | Tensor = 0.1,
    spread: float = 1.0,
    n_steps: int = 2000,
    n_samples: int = 8,
    step: float = 0.02,
    seed: int = 0,
) -> Posterior:
    """Fit a posterior by maximising the evidence lower bound.

    Parameters
    ----------
    log_density
        Log of prior times likelihood, up to a constant; see `of_model` for a torch model. It must
        be differentiable.
    start : Tensor, shape (parameters,)
        Where means begin, such as a maximum of the density.
    rank
        Of the low-rank part; 0: mean-field.
    components
        Of the mixture.
    first_sd
        Standard deviations at the beginning: one number, or one per parameter.
    spread
        Standard deviation of the first means of several components about `start`, in `first_sd`.
    n_steps
        Steps of Adam; the step falls to a hundredth along half a cosine.
    n_samples
        Draws per component and step; they come in pairs of opposite noise.
    step
        First step.
    seed
        Of the draws: the same seed gives the same posterior on the same device.

    Returns
    -------
    Posterior
        Detached from the graph.

    Raises
    ------
    PopscanError
        If a number is out of range, `start` is not a vector, or the density is not finite.
    """
    if start.ndim != 1 or start.numel() < 1:
        raise PopscanError(f"variational: start has shape {tuple(start.shape)}; a vector expected")
    if rank < 0 or components < 1 or n_steps < 1 or n_samples < 1:
        raise PopscanError(
            f"variational: rank {rank}, components {components}, n_steps {n_steps}, n_samples "
            f"{n_samples}: rank 0 or more, others 1 or more expected"
        )
    rng = torch.Generator(device=start.device).manual_seed(seed)
    first = torch.as_tensor(first_sd, dtype=start.dtype, device=start.device).expand_as(start)
    free = _first(start.detach(), first, rank=rank, components=components, spread=spread, rng=rng)
    adam = torch.optim.Adam(free, lr=step)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps, eta_min=step / 100)
    bounds = torch.zeros(n_steps, dtype=torch.float64)
    for i in range(n_steps):
        adam.zero_grad()
        bound = _bound(log_density, free, n_samples, rng)
        if not torch.isfinite(bound):
            raise PopscanError(
                f"variational: the log density is not finite at step {i + 1}; smaller steps, or "
                "smaller first_sd, may help"
            )
        (-bound).backward()
        adam.step()
        falling.step()
        bounds[i] = bound.detach()
    last = bounds[-min(_LAST, max(1, n_steps // 4)) :]
    made = _posterior([one.detach() for one in free])
    error = float(last.std() / math.sqrt(len(last))) if len(last) > 1 else math.nan
    return Posterior(
        means=made.means, sds=made.sds, factors=made.factors, weights=made.weights,
        bound=float(last.mean()), bound_se=error,
    )  # fmt: skip


def _first(
    start: Tensor, sd: Tensor, *, rank: int, components: int, spread: float, rng: torch.Generator
) -> list[Tensor]:
    """Return what is optimised: means, log SDs, factors and logits of the weights."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=start.dtype, device=start.device)

    size = start.numel()
    means = start.repeat(components, 1)
    if components > 1:
        means = means + spread * sd * normal(components, size)
    log_sds = sd.log().repeat(components, 1)
    factors = _FIRST_FACTOR * sd[None, :, None] * normal(components, size, rank)
    logits = torch.zeros(components, dtype=start.dtype, device=start.device)
    return [one.clone().requires_grad_() for one in (means, log_sds, factors, logits)]


def _posterior(free: list[Tensor]) -> Posterior:
    means, log_sds, factors, logits = free
    return Posterior(
        means=means, sds=log_sds.exp(), factors=factors, weights=torch.softmax(logits, dim=0)
    )


def _bound(log_density: LogDensity, free: list[Tensor], count: int, rng: torch.Generator) -> Tensor:
    """Estimate the bound; its gradient leaves out the score term, whose mean is zero."""
    now, held = _posterior(free), _posterior([one.detach() for one in free])
    components, size = now.means.shape
    parts = []
    for k in range(components):
        half = _noise((count + 1) // 2, now, rng)
        noise, latent = (torch.cat([one, -one])[:count] for one in half)
        parts.append(now.means[k] + now.sds[k] * noise + latent @ now.factors[k].mT)
    drawn = torch.stack(parts)
    values = log_density(drawn.reshape(-1, size)).reshape(components, count)
    return (now.weights[:, None] * (values - held.log_density(drawn))).sum() / count


def _noise(count: int, of: Posterior, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw standard normal numbers for the diagonal and the low-rank part."""
    _, size, rank = of.factors.shape
    dtype, device = of.means.dtype, of.means.device
    noise = torch.randn(count, size, generator=rng, dtype=dtype, device=device)
    return noise, torch.randn(count, rank, generator=rng, dtype=dtype, device=device)


def _gaussian(means: Tensor, sds: Tensor, factors: Tensor) -> torch.distributions.Distribution:
    if factors.shape[-1] == 0:
        return torch.distributions.Independent(torch.distributions.Normal(means, sds), 1)
    return torch.distributions.LowRankMultivariateNormal(
        means, factors, sds**2, validate_args=False
    )


def flat_parameters(model: nn.Module) -> Tensor:
    """Return a model's trainable parameters as one vector, in the order of its parameters."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters() if p.requires_grad])


def of_model(
    model: nn.Module,
    log_likelihood: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    prior_sd: float | Tensor,
) -> LogDensity:
    """Return the log density of a model's trainable parameters, for `fit`.

    Parameters
    ----------
    model
        Any module without randomness (no dropout in training mode); it is left as it is.
    log_likelihood
        Outputs of the model to the log likelihood of all data, a scalar.
    inputs
        What the model is given.
    prior_sd
        Standard deviation of the parameters' normal prior about zero: one number, or one each.

    Raises
    ------
    PopscanError
        If the model has no trainable parameter.
    """
    named = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise PopscanError("variational: the model has no trainable parameter")
    shapes = {name: p.shape for name, p in named.items()}
    sizes = [p.numel() for p in named.values()]

    def one(vector: Tensor) -> Tensor:
        pieces = torch.split(vector, sizes)
        given = {
            name: piece.reshape(shape)
            for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }
        prior = -0.5 * ((vector / prior_sd) ** 2).sum()
        return prior + log_likelihood(torch.func.functional_call(model, given, (inputs,)))

    many: LogDensity = torch.func.vmap(one)
    return many
