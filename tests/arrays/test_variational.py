"""Variational inference against posteriors that are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from popscan.arrays.variational import Posterior, fit, flat_parameters, of_model
from popscan.records import PopscanError

torch.set_num_threads(1)
NOISE, PRIOR = 0.5, 2.0


def regression(n: int = 60, size: int = 4) -> tuple[Tensor, Tensor, MultivariateNormal, float]:
    """Inputs that are correlated, outputs, the posterior of the weights, the log evidence."""
    rng = torch.Generator().manual_seed(3)
    shared = torch.randn(n, 1, generator=rng, dtype=torch.float64)
    x = shared + 0.5 * torch.randn(n, size, generator=rng, dtype=torch.float64)
    weights = torch.linspace(-1, 1, size, dtype=torch.float64)
    y = x @ weights + NOISE * torch.randn(n, generator=rng, dtype=torch.float64)
    precision = x.T @ x / NOISE**2 + torch.eye(size, dtype=torch.float64) / PRIOR**2
    posterior = MultivariateNormal(
        torch.linalg.solve(precision, x.T @ y / NOISE**2), precision_matrix=precision
    )
    marginal = MultivariateNormal(
        torch.zeros(n, dtype=torch.float64),
        NOISE**2 * torch.eye(n, dtype=torch.float64) + PRIOR**2 * x @ x.T,
    )
    return x, y, posterior, float(marginal.log_prob(y))


def joint(x: Tensor, y: Tensor) -> tuple[nn.Linear, object, float]:
    """Model, its log density, and the constant that this lacks."""
    model = nn.Linear(x.shape[1], 1, bias=False).double()
    density = of_model(
        model,
        lambda out: -0.5 * (((y - out[:, 0]) / NOISE) ** 2).sum(),
        x,
        prior_sd=PRIOR,
    )
    half = 0.5 * math.log(2 * math.pi)
    lacking = -len(y) * (half + math.log(NOISE)) - x.shape[1] * (half + math.log(PRIOR))
    return model, density, lacking


def as_gaussian(found: Posterior) -> MultivariateNormal:
    return MultivariateNormal(found.mean, found.covariance)


@pytest.fixture(scope="module")
def low_rank() -> Posterior:
    x, y, _, _ = regression()
    model, density, _ = joint(x, y)
    return fit(density, flat_parameters(model), rank=3, n_steps=1500, seed=1)  # type: ignore[arg-type]


def test_diagonal_plus_low_rank_is_the_posterior(low_rank: Posterior) -> None:
    _, _, truth, _ = regression()
    assert float(kl_divergence(as_gaussian(low_rank), truth)) < 1e-3
    torch.testing.assert_close(low_rank.variances, truth.variance, rtol=0.03, atol=0)
    torch.testing.assert_close(low_rank.mean, truth.mean, rtol=0, atol=0.005)


def test_the_bound_is_the_evidence_where_the_family_holds_the_posterior(
    low_rank: Posterior,
) -> None:
    x, y, _, evidence = regression()
    lacking = joint(x, y)[2]
    assert low_rank.bound + lacking == pytest.approx(evidence, abs=0.01)
    assert low_rank.bound_se < 0.01


def test_mean_field_is_the_best_of_its_kind() -> None:
    """Its optimum is known: the mean, and one over the diagonal of the precision."""
    x, y, truth, evidence = regression()
    model, density, lacking = joint(x, y)
    found = fit(density, flat_parameters(model), n_steps=1500, seed=2)  # type: ignore[arg-type]
    expected = 1 / torch.diagonal(truth.precision_matrix)
    torch.testing.assert_close(found.variances, expected, rtol=0.05, atol=0)
    torch.testing.assert_close(found.mean, truth.mean, rtol=0, atol=0.01)
    assert (expected < 0.5 * truth.variance).all()  # narrower than the truth: what it cannot do
    gap = float(kl_divergence(MultivariateNormal(truth.mean, torch.diag(expected)), truth))
    assert evidence - (found.bound + lacking) == pytest.approx(gap, abs=0.1)


def test_a_mixture_finds_both_modes_and_their_weights() -> None:
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)

    def density(v: Tensor) -> Tensor:
        parts = -0.5 * (((v[:, None, :] - means) / 0.4) ** 2).sum(dim=2) + weights.log()
        return torch.logsumexp(parts, dim=1)

    start = torch.zeros(2, dtype=torch.float64)
    found = fit(density, start, components=2, first_sd=1.0, n_steps=1500, seed=0)
    order = torch.argsort(found.means[:, 0])
    torch.testing.assert_close(found.means[order], means, rtol=0, atol=0.03)
    torch.testing.assert_close(found.weights[order], weights, rtol=0, atol=0.02)
    torch.testing.assert_close(found.sds, torch.full_like(found.sds, 0.4), rtol=0.05, atol=0)
    truth = weights @ means
    torch.testing.assert_close(found.mean, truth, rtol=0, atol=0.1)
    alone = fit(density, start, first_sd=1.0, n_steps=800, seed=0)
    assert alone.bound < found.bound - 0.2


def test_moments_are_those_of_the_draws() -> None:
    rng = torch.Generator().manual_seed(0)
    made = Posterior(
        means=torch.randn(3, 4, generator=rng),
        sds=torch.rand(3, 4, generator=rng) + 0.2,
        factors=torch.randn(3, 4, 2, generator=rng),
        weights=torch.tensor([0.2, 0.5, 0.3]),
    )
    drawn = made.sample(200_000, seed=1)
    torch.testing.assert_close(drawn.mean(dim=0), made.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(drawn.T), made.covariance, rtol=0.03, atol=0.06)
    torch.testing.assert_close(torch.diagonal(made.covariance), made.variances)


def test_the_density_is_that_of_dense_gaussians() -> None:
    rng = torch.Generator().manual_seed(0)
    made = Posterior(
        means=torch.randn(2, 3, generator=rng),
        sds=torch.rand(2, 3, generator=rng) + 0.2,
        factors=torch.randn(2, 3, 2, generator=rng),
        weights=torch.tensor([0.4, 0.6]),
    )
    at = torch.randn(5, 3, generator=rng)
    dense = MultivariateNormal(
        made.means, torch.diag_embed(made.sds**2) + made.factors @ made.factors.mT
    )
    expected = torch.logsumexp(dense.log_prob(at[:, None]) + made.weights.log(), dim=1)
    torch.testing.assert_close(made.log_density(at), expected, rtol=1e-4, atol=1e-4)


def test_a_network_is_left_as_it_is_and_its_parameters_are_inferred() -> None:
    """A network of one hidden unit: sd shrinks with data; the module keeps its weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))
    before = flat_parameters(model).clone()
    x = torch.linspace(-1, 1, 200)[:, None]
    y = torch.sin(2 * x)
    spread = []
    for n in (10, 200):
        take = slice(None, None, 200 // n)
        density = of_model(
            model, lambda out, take=take: -0.5 * (((y[take] - out) / 0.1) ** 2).sum(), x[take],
            prior_sd=1.0,
        )  # fmt: skip
        found = fit(density, flat_parameters(model), n_steps=800, seed=0)
        spread.append(float(found.variances.mean()))
    torch.testing.assert_close(flat_parameters(model), before)
    assert spread[1] < 0.5 * spread[0]


def test_the_same_seed_gives_the_same_bytes() -> None:
    def density(v: Tensor) -> Tensor:
        return -0.5 * (v**2).sum(dim=1)

    first, second = (fit(density, torch.ones(3), rank=1, n_steps=20, seed=5) for _ in range(2))
    assert first.means.numpy().tobytes() == second.means.numpy().tobytes()
    assert first.bound == second.bound


def test_what_cannot_be_fitted_is_refused() -> None:
    def density(v: Tensor) -> Tensor:
        return v.sum(dim=1) * math.nan

    with pytest.raises(PopscanError, match="not finite at step 1"):
        fit(density, torch.zeros(2))
    with pytest.raises(PopscanError, match="a vector expected"):
        fit(density, torch.zeros(2, 2))
    with pytest.raises(PopscanError, match="rank -1"):
        fit(density, torch.zeros(2), rank=-1)
    frozen = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(PopscanError, match="no trainable parameter"):
        of_model(frozen, torch.sum, torch.ones(1, 1), prior_sd=1.0)
