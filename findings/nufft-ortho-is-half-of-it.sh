#!/usr/bin/env bash
# "Orthonormal" non-uniform Fourier transforms shrink an image: by 4 in 2D, by 8 in 3D.
#
# Version    torchkbnufft 1.5.2 (torch 2.13.0), mri-nufft 1.5.1 (finufft 2.5.1), sigpy 0.1.27
# Behaviour  An image goes to all the points of its Cartesian grid and back by the adjoint. With an
#            orthonormal transform that gives the image. torchkbnufft with norm="ortho" and
#            mri-nufft give a quarter of it in 2D and an eighth in 3D: both divide by the root of
#            the number of points of the grid oversampled twofold. sigpy, and any FFT with
#            norm="ortho", give all of it.
# Output     2D: torchkbnufft 0.250, mri-nufft 0.250, sigpy 1.00; 3D: 0.125, 0.125, 1.00
# Source     torchkbnufft's documentation of norm ("Whether to apply normalization with the FFT
#            operation") and issue 38; mri-nufft, FourierOperatorBase.norm_factor.
# Consequence A regularisation weight found with one library is 4 or 8 times off in the other, and
#            so are grey values of radial beside Cartesian scans of one study. Measure
#            adjoint(forward(1 pixel)) on a Cartesian grid once, and scale by it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 torchkbnufft==1.5.2 \
  mri-nufft==1.5.1 finufft==2.5.1 sigpy==0.1.27 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
import sigpy
import torch
import torchkbnufft
from mrinufft import get_operator

seen = {}
for n_dims in (2, 3):
    shape = (16,) * n_dims
    steps = np.arange(-8, 8)
    grid = np.stack(np.meshgrid(*[steps] * n_dims, indexing="ij"), axis=-1).reshape(-1, n_dims)
    image = np.zeros(shape, np.complex64)
    pixel = (9, 6, 8)[:n_dims]
    image[pixel] = 1

    given = torch.tensor(image)[None, None]
    omega = torch.tensor(grid.T * 2 * np.pi / 16, dtype=torch.float32)
    there = torchkbnufft.KbNufft(shape)(given, omega, norm="ortho")
    back = torchkbnufft.KbNufftAdjoint(shape)(there, omega, norm="ortho")
    first = abs(complex(back[0, 0][pixel]))

    samples = (grid / 16).astype(np.float32)
    operator = get_operator("finufft")(samples=samples, shape=shape, n_coils=1, squeeze_dims=True)
    second = abs(operator.adj_op(operator.op(image))[pixel])

    points = grid.astype(float)
    third = abs(sigpy.nufft_adjoint(sigpy.nufft(image, points), points, shape)[pixel])
    seen[n_dims] = (first, second, third)
words = "{:.3f}, mri-nufft {:.3f}, sigpy {:.2f}".format
print("2D: torchkbnufft " + words(*seen[2]) + "; 3D: {:.3f}, {:.3f}, {:.2f}".format(*seen[3]))
for n_dims, (first, second, third) in seen.items():
    assert abs(first * 2**n_dims - 1) < 0.01, "torchkbnufft is orthonormal now"
    assert abs(second * 2**n_dims - 1) < 0.01, "mri-nufft is orthonormal now"
    assert abs(third - 1) < 0.02
PY
