"""Variational posteriors of a Bayesian linear regression beside the exact one and MC dropout.

    pip install pyro-ppl
    python benchmarks/variational.py --size 6 --seed 1

The posterior of the weights is known in closed form (known noise, normal prior, correlated inputs).
Printed by number of observations: Kullback-Leibler divergence to the exact posterior in nats, mean
ratio of variances to the exact ones, mean absolute error of correlations, and seconds, of
`popscan.arrays.variational` with several ranks and of Pyro's guides (where it is installed; same
steps, draws and first step). MC dropout has its optimum in closed form here, too (dropout of the
inputs; Gal and Ghahramani 2016, arXiv:1506.02142): its posterior sits on finitely many points, so
that its divergence is infinite; the number in brackets is that of the normal distribution with its
mean and covariance.
"""

from __future__ import annotations

import argparse
import importlib.util
import time

import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from biomarkers import show
from popscan.arrays.variational import fit, flat_parameters, of_model

NOISE, PRIOR = 0.5, 2.0
STEPS, SAMPLES, STEP = 1000, 8, 0.02


def problem(n: int, size: int, seed: int) -> tuple[Tensor, Tensor, MultivariateNormal]:
    """Return inputs, outputs, and the exact posterior of the weights."""
    rng = torch.Generator().manual_seed(seed)
    shared = torch.randn(n, 1, generator=rng, dtype=torch.float64)
    x = shared + 0.5 * torch.randn(n, size, generator=rng, dtype=torch.float64)
    weights = torch.linspace(-1, 1, size, dtype=torch.float64)
    y = x @ weights + NOISE * torch.randn(n, generator=rng, dtype=torch.float64)
    precision = x.T @ x / NOISE**2 + torch.eye(size, dtype=torch.float64) / PRIOR**2
    mean = torch.linalg.solve(precision, x.T @ y / NOISE**2)
    return x, y, MultivariateNormal(mean, precision_matrix=precision)


def popscan(x: Tensor, y: Tensor, rank: int) -> MultivariateNormal:
    model = nn.Linear(x.shape[1], 1, bias=False).double()
    density = of_model(
        model, lambda out: -0.5 * (((y - out[:, 0]) / NOISE) ** 2).sum(), x, prior_sd=PRIOR
    )
    found = fit(density, 0 * flat_parameters(model), rank=rank, n_steps=STEPS, n_samples=SAMPLES,
                step=STEP)  # fmt: skip
    return MultivariateNormal(found.mean, found.covariance)


def pyro_guide(x: Tensor, y: Tensor, rank: int) -> MultivariateNormal:
    import pyro
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoDiagonalNormal, AutoLowRankMultivariateNormal

    size = x.shape[1]

    def model() -> None:
        prior = pyro.distributions.Normal(torch.zeros(size, dtype=x.dtype), PRIOR).to_event(1)
        weights = pyro.sample("w", prior)
        mean = (x @ weights[..., None])[..., 0]
        pyro.sample("y", pyro.distributions.Normal(mean, NOISE).to_event(1), obs=y)

    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    guide = (
        AutoLowRankMultivariateNormal(model, rank=rank, init_scale=0.1)
        if rank
        else AutoDiagonalNormal(model, init_scale=0.1)
    )
    bound = Trace_ELBO(num_particles=SAMPLES, vectorize_particles=True, max_plate_nesting=0)
    falling = pyro.optim.CosineAnnealingLR(
        {"optimizer": torch.optim.Adam, "optim_args": {"lr": STEP}, "T_max": STEPS,
         "eta_min": STEP / 100}
    )  # fmt: skip
    svi = SVI(model, guide, falling, bound)
    for _ in range(STEPS):
        svi.step()
        falling.step()
    with torch.no_grad():
        made = guide.get_posterior()
    scale = getattr(made, "covariance_matrix", None)
    covariance = scale if scale is not None else torch.diag(made.variance)
    return MultivariateNormal(made.mean.detach(), covariance.detach())


def dropout(x: Tensor, y: Tensor, share: float) -> MultivariateNormal:
    """Moments of MC dropout's posterior at the minimum of its objective."""
    kept = 1 - share
    gram = x.T @ x
    system = (kept**2 * gram + kept * share * torch.diag(torch.diagonal(gram))) / NOISE**2
    system = system + kept / PRIOR**2 * torch.eye(len(gram), dtype=x.dtype)
    weights = torch.linalg.solve(system, kept * x.T @ y / NOISE**2)
    return MultivariateNormal(kept * weights, torch.diag(kept * share * weights**2 + 1e-12))


def correlations(covariance: Tensor) -> Tensor:
    sd = covariance.diagonal().sqrt()
    rows, columns = torch.triu_indices(len(sd), len(sd), offset=1)
    return (covariance / sd[:, None] / sd)[rows, columns]


def main() -> None:
    """Print a table per number of observations."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    full = options.size - 1
    methods = {
        "mean-field": lambda x, y: popscan(x, y, 0),
        "diagonal and rank 1": lambda x, y: popscan(x, y, 1),
        f"diagonal and rank {full}": lambda x, y: popscan(x, y, full),
        "MC dropout 0.1": lambda x, y: dropout(x, y, 0.1),
        "MC dropout 0.5": lambda x, y: dropout(x, y, 0.5),
    }
    if importlib.util.find_spec("pyro") is not None:
        methods["Pyro, mean-field"] = lambda x, y: pyro_guide(x, y, 0)
        methods[f"Pyro, rank {full}"] = lambda x, y: pyro_guide(x, y, full)
    for n in (20, 200):
        x, y, truth = problem(n, options.size, options.seed)
        rows = {}
        for name, method in methods.items():
            begun = time.process_time()
            found = method(x, y)
            seconds = time.process_time() - begun
            divergence = f"{float(kl_divergence(found, truth)):.3g}"
            wrong = correlations(found.covariance_matrix) - correlations(truth.covariance_matrix)
            rows[name] = {
                "KL": f"infinite ({divergence})" if "dropout" in name else divergence,
                "variance ratio": f"{float((found.variance / truth.variance).mean()):.3g}",
                "correlations off by": f"{float(wrong.abs().mean()):.3f}",
                "CPU s": "-" if "dropout" in name else f"{seconds:.1f}",
            }
        show(f"{n} observations, {options.size} weights", pd.DataFrame(rows).T)


if __name__ == "__main__":
    main()
