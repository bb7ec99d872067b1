#!/usr/bin/env bash
# One classifier has two expected calibration errors in torchmetrics: .16 as binary, .01 as two classes.
#
# Version    torchmetrics 1.9.0, torch 2.13.0
# Behaviour  For 5,000 cases with a score p for "diseased", of whom the share p * p is diseased,
#            BinaryCalibrationError bins by p and compares with the share of diseased. The same scores
#            as MulticlassCalibrationError with the columns 1 - p and p are binned by the larger of the
#            two and compared with the share of right answers. There too high and too low scores of
#            opposite sides meet in one bin and cancel.
# Output     binary 0.162, two classes 0.012
# Source     torchmetrics' pages of both classes: "confidence" of a bin is the predicted probability for
#            the one and the top-1 prediction for the other; that both are called ECE and differ for the
#            same answers is not said.
# Consequence A diagnosis that is badly calibrated looks perfect once its head has two outputs in place
#            of one, and tables of papers with the one and the other cannot be compared. Say which was
#            computed; for a decision about one class compute the binary one.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import torch
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

rng = np.random.default_rng(0)
score = rng.random(5000)
sick = (rng.random(5000) < score**2).astype(int)


def ece(confidence, right):
    """The error by hand: ten bins, their gaps weighted by their cases."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    return sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )


p, y = torch.tensor(score), torch.tensor(sick)
binary = float(BinaryCalibrationError(n_bins=10)(p, y))
two = float(MulticlassCalibrationError(num_classes=2, n_bins=10)(torch.stack([1 - p, p], 1), y))
print(f"binary {binary:.3f}, two classes {two:.3f}")
assert abs(binary - ece(score, sick)) < 1e-3
assert abs(two - ece(np.maximum(score, 1 - score), (score > 0.5) == sick)) < 1e-3
assert binary > 0.15 and two < 0.03, "both are one number now"
PY
