#!/usr/bin/env bash
# statsmodels' limits of agreement of eight subjects are 6.5% narrower than Bland and Altman's.
#
# Version    statsmodels 0.15.0, pingouin 0.7.0
# Behaviour  mean_diff_plot draws the mean difference plus and minus 1.96 standard deviations, but takes
#            the standard deviation with n as its divisor, not n - 1. pingouin's plot_blandaltman and the
#            published method use n - 1.
# Output     statsmodels 13.46 wide, pingouin and by hand 14.39 (factor 0.935)
# Source     Bland and Altman, Lancet 1986; 1:307: the standard deviation of the differences, 38.8 L/min
#            in their example, is the usual one. statsmodels' page of mean_diff_plot says "standard
#            deviation" without its divisor.
# Consequence With the ten to twenty subjects of a scan-rescan study limits come out 2.5 to 5% too narrow,
#            so that two methods agree better in one program than in the other. Compute the limits
#            yourself; in small samples give their confidence interval, too.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check statsmodels==0.15.0 pingouin==0.7.0 \
  numpy==2.4.6 matplotlib==3.11.2
MPLBACKEND=Agg env/bin/python -W ignore - <<'PY'
import numpy as np
import pingouin
from statsmodels.graphics.agreement import mean_diff_plot

rng = np.random.default_rng(0)
first = rng.normal(100, 10, 8)
second = first + rng.normal(0, 5, 8)
difference = first - second


def heights(axis):
    """Where the horizontal lines lie."""
    return sorted(float(line.get_ydata()[0]) for line in axis.lines if len(line.get_ydata()) == 2)


drawn = heights(mean_diff_plot(first, second).axes[0])
limits = [difference.mean() + sign * 1.96 * difference.std(ddof=1) for sign in (-1, 1)]
peer = heights(pingouin.plot_blandaltman(first, second, confidence=None))
by_hand, width, other = np.ptp(limits), np.ptp(drawn), peer[-1] - min(h for h in peer if h != 0)
print(
    f"statsmodels {width:.2f} wide, pingouin {other:.2f} and by hand {by_hand:.2f} "
    f"(factor {width / by_hand:.3f})"
)
assert abs(other - by_hand) < 1e-6
assert abs(width / by_hand - np.sqrt(7 / 8)) < 1e-6, "the divisor is n - 1 now"
PY
