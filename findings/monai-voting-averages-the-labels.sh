#!/usr/bin/env bash
# MONAI's VoteEnsemble takes votes for labels 1, 3 and 3 and elects label 2.
#
# Version    monai 1.6.1, torch 2.13.0
# Behaviour  Without num_classes label maps of one channel are averaged and rounded: two votes for the
#            left ventricle (3) and one for the right (1) make myocardium (2), and two for 3 with one
#            for 0 do as well. With num_classes=4 the majority wins.
# Output     votes 1 3 3 -> 2 (3); 3 3 0 -> 2 (3); 0 0 3 -> 1 (0)
# Source     MONAI's page of VoteEnsemble: without num_classes the data are taken for one class. No
#            error or warning is given when they hold others.
# Consequence An ensemble of segmentations gets a ring of wall wherever its members disagree between
#            cavity and background: thicker walls, and smaller cavities, that no member drew. Give
#            num_classes, or one-hot maps.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 monai==1.6.1 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import torch
from monai.transforms import VoteEnsemble

votes = [[1, 3, 3], [3, 3, 0], [0, 0, 3]]
members = [torch.tensor([[float(vote[m]) for vote in votes]]) for m in range(3)]  # channel, voxel
elected = [int(v) for v in VoteEnsemble()(members)[0]]
majority = [int(v) for v in VoteEnsemble(num_classes=4)(members)[0]]
print(
    "votes " + "; ".join(
        f"{' '.join(map(str, vote))} -> {got} ({right})"
        for vote, got, right in zip(votes, elected, majority)
    )
)
assert majority == [3, 3, 0]
assert elected == [2, 2, 1], "labels are counted now"
PY
