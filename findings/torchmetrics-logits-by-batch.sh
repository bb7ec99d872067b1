#!/usr/bin/env bash
# torchmetrics decides batch by batch whether scores are logits: the AUC depends on the batch size.
#
# Version    torchmetrics 1.9.0, torch 2.13.0
# Behaviour  64 logits. A batch with a value outside of 0 to 1 is taken as logits and goes through a
#            sigmoid, a batch without one is taken as probabilities and does not; then all are
#            ranked together. One by one (the usual batch of whole 3D scans) BinaryAUROC gives
#            0.781, in batches of 64 0.815, which is right. Logits beyond 17 are all 1 after the
#            sigmoid (single precision), so that perfectly ordered large ones have an AUC of 0.5. No
#            message.
# Output     scikit-learn 0.815; batches of 64 0.815, of 2 0.810, of 1 0.781
#            logits 20 to 35 in order: scikit-learn 1.0, torchmetrics 0.5
# Source     torchmetrics issues 2195, 2329 and 2819 (open); the documentation says that values
#            outside of [0, 1] are taken as logits, not that each batch decides for itself.
# Consequence The same model on the same subjects has two AUCs, and the worse one on the computer
#            with the smaller memory. Hand it probabilities, or collect all logits and rank them
#            once.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.9.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.classification import BinaryAUROC

rng = np.random.default_rng(0)
truth = rng.integers(0, 2, 64)
logits = rng.normal(0.8 * truth - 0.2, 1).astype(np.float32)
right = roc_auc_score(truth, logits)


def auc(scores, labels, size):
    """AUC of scores given in batches of a size."""
    metric = BinaryAUROC()
    for start in range(0, len(scores), size):
        part = slice(start, start + size)
        metric.update(torch.tensor(scores[part]), torch.tensor(labels[part]))
    return float(metric.compute())


seen = {size: auc(logits, truth, size) for size in (64, 2, 1)}
shown = ", of ".join(f"{size} {value:.3f}" for size, value in seen.items())
print(f"scikit-learn {right:.3f}; batches of {shown}")
large = np.arange(20, 36, dtype=np.float32)
upper = (large > 27).astype(int)
saturated = auc(large, upper, 16)
ordered = roc_auc_score(upper, large)
print(f"logits 20 to 35 in order: scikit-learn {ordered}, torchmetrics {saturated}")
assert np.isclose(seen[64], right)
assert right - seen[1] > 0.02, "all batches are treated the same now"
assert saturated == 0.5, "large logits keep their order now"
PY
