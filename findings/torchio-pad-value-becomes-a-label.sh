#!/usr/bin/env bash
# TorchIO pads labels with the image's value: air of -1000 becomes label 24.
#
# Version    torchio 1.2.1, torch 2.13.0
# Behaviour  A subject with a CT and a label map (8 bits, labels 0 and 3), padded by Pad or
#            CropOrPad with padding_mode=-1000, the value of air. Both images get it, and in 8 bits
#            -1000 is 24. In a label map of 16 bits it is -1000. No message. (RandomAffine
#            with the same value treats label maps separately: they are filled with 0.)
# Output     labels after padding: 0, 3, 24 (8 bits); -1000, 0, 3 (16 bits)
# Source     TorchIO's documentation: a LabelMap is not changed by intensity transforms and is
#            interpolated by nearest neighbours; issue 1015 (closed) is on padding_mode="mean".
# Consequence Every subject that is smaller than the network's input has a frame of a label that
#            does not exist or, in an atlas of many labels, of another organ. One-hot codes and
#            losses take it, and the Dice of that organ is wrong. Pad image and labels separately.
# Note       Runs on the CPU; it installs torch.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 torchio==1.2.1 numpy==2.4.6
env/bin/python - <<'PY'
import warnings

import torch
import torchio as tio


def subject(dtype):
    labels = torch.zeros(1, 3, 3, 3, dtype=dtype)
    labels[0, 1, 1, 1] = 3
    ct = tio.ScalarImage(tensor=torch.full((1, 3, 3, 3), 40.0))
    return tio.Subject(ct=ct, labels=tio.LabelMap(tensor=labels))


padded = {}
with warnings.catch_warnings():
    warnings.simplefilter("error")
    for dtype in (torch.uint8, torch.int16):
        for transform in (tio.Pad(1, padding_mode=-1000), tio.CropOrPad(5, padding_mode=-1000)):
            result = transform(subject(dtype))
            assert sorted(result.ct.data.unique().tolist()) == [-1000, 40]
            found = sorted(result.labels.data.unique().tolist())
            print(type(transform).__name__, dtype, "labels", found)
            padded.setdefault(dtype, []).append(found)
assert padded[torch.uint8] == 2 * [[0, 3, 24]], "labels are padded with 0 now"
assert padded[torch.int16] == 2 * [[-1000, 0, 3]]
options = {"scales": 0, "degrees": 0, "default_pad_value": -1000}
shift = tio.RandomAffine(translation=(2, 2, 0, 0, 0, 0), **options)
moved = shift(subject(torch.uint8))
assert set(moved.labels.data.unique().tolist()) <= {0, 3} and moved.ct.data.min() == -1000
PY
