#!/usr/bin/env bash
# Where sites do not differ, statsmodels' mixed model gives standard errors that mean nothing.
#
# Version    statsmodels 0.15.0, numpy 2.4.6, scipy 1.17.1, pandas 3.1.1
# Behaviour  Studies of 150 subjects at 5 sites without any difference between sites; random intercept
#            per site. In a third and more of such studies the variance between sites is estimated as
#            0, at the border of what it can be. The model is then least squares, and so is its
#            estimate; the standard error is not: it comes from a Hessian that is inverted together
#            with the variance's own row, at a point where that row has no meaning. MixedLM says
#            converged = True in many of them. (Some raise a ConvergenceWarning about the boundary.)
# Output     subject-level covariate that differs by site: 10 of 60 at zero, standard error 0.53 to 1.27
#            times that of least squares, 3 NaN; site-level covariate: 37 of 60, from 0.95 to 1e8 times
# Source     Right is scale * inv(sum of X' V^-1 X) (Pinheiro and Bates, Mixed-Effects Models in S and
#            S-PLUS, 2000, chapter 2), which for variance 0 is the least-squares covariance.
# Consequence A gap adjusted for site gets an interval of half its width, or none, and the program says
#            that all is well. Compute the covariance of the fixed effects from V, or check for a
#            variance of 0 and fall back on least squares.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 patsy
env/bin/python - <<'PY'
import warnings

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

warnings.simplefilter("ignore")


def ratio(seed, of_site):
    """Variance between sites, standard error relative to least squares, and 'converged'."""
    rng = np.random.default_rng(seed)
    site = rng.integers(0, 5, 150)
    by_site = (site % 2).astype(float)
    x = by_site if of_site else (rng.random(150) < 0.2 + 0.6 * by_site) * 1.0
    table = pd.DataFrame({"y": rng.normal(size=150), "x": x, "site": site})
    mixed = smf.mixedlm("y ~ x", table, groups="site").fit()
    plain = smf.ols("y ~ x", table).fit()
    return float(mixed.cov_re.iloc[0, 0]), mixed.bse["x"] / plain.bse["x"], mixed.converged


for of_site in (False, True):
    fits = [ratio(seed, of_site) for seed in range(60)]
    at_zero = [(r, converged) for variance, r, converged in fits if variance < 1e-6]
    ratios = np.array([r for r, _ in at_zero])
    sure = np.array([r for r, converged in at_zero if converged])
    wrong = ~(np.abs(sure - 1) < 0.2)
    print(
        f"{'site' if of_site else 'subject'}-level: {len(at_zero)} of 60 at zero, standard errors "
        f"{np.nanmin(ratios):.2f} to {np.nanmax(ratios):.3g} times least squares, "
        f"{np.isnan(ratios).sum()} NaN; {wrong.sum()} wrong by a fifth and converged"
    )
    assert len(at_zero) >= 8, "the variance is rarely 0 now"
    assert wrong.any(), "standard errors at zero variance are those of least squares now"
PY
