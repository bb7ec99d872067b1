#!/usr/bin/env bash
# A group of one subject differs significantly in 84 of 100 studies, with robust standard errors.
#
# Version    statsmodels 0.15.0, numpy 2.4.6
# Behaviour  100 subjects, no effect at all, one of them in a group of its own (the only one of its site
#            or ancestry). The group's coefficient fits that subject exactly, so the residual from
#            which HC1 takes its variance is 0, and only the error of the others is left: 0.10, where the
#            estimate varies by 1.0. HC3, made for such points, divides one rounding error by another.
#            The usual error is right.
# Output     p < 0.05 in 1000 studies without effect: usual 4 %, HC1 84 %, HC3 41 %
#            standard error, true 1.0: usual 1.00, HC1 0.10, HC3 0.09 to 2.86
#            two subjects: usual 5 %, HC1 35 %, HC3 20 %
# Source     MacKinnon and White 1985: e / (1 - h) is not defined at h = 1; statsmodels' documentation of
#            HC3_se gives the formula and not this case.
# Consequence Every rare category that is coded as a column of its own is "different". Groups need a least size before robust errors are asked for, more than two.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==2.3.3
env/bin/python -W ignore - <<'PY'
import numpy as np
import statsmodels.api as sm

n = 100
names = {"nonrobust": "usual", "HC1": "HC1", "HC3": "HC3"}


def studies(covariance, members):
    """Share of studies in which a group without effect differs, and the standard errors."""
    rng = np.random.default_rng(0)
    group = (np.arange(n) < members).astype(float)
    design = np.column_stack([np.ones(n), group])
    fits = [sm.OLS(rng.normal(size=n), design).fit(cov_type=covariance) for _ in range(1000)]
    errors = np.array([fit.bse[1] for fit in fits])
    return float(np.mean([fit.pvalues[1] < 0.05 for fit in fits])), errors


seen = {name: studies(code, 1) for code, name in names.items()}
shares = ", ".join(f"{name} {100 * share:.0f} %" for name, (share, _) in seen.items())
print("p < 0.05 in 1000 studies without effect:", shares)
usual, hc1, hc3 = (errors for _, errors in seen.values())
print(
    f"standard error, true 1.0: usual {np.median(usual):.2f}, HC1 {np.median(hc1):.2f}, "
    f"HC3 {hc3.min():.2f} to {hc3.max():.2f}"
)
pairs = {name: studies(code, 2)[0] for code, name in names.items()}
print("two subjects:", ", ".join(f"{name} {100 * share:.0f} %" for name, share in pairs.items()))
assert seen["usual"][0] < 0.07
assert seen["HC1"][0] > 0.7, "the group of one has an error of its own now"
assert np.nanmax(hc3) / np.nanmin(hc3) > 5
assert pairs["HC1"] > 0.25
PY
