#!/usr/bin/env bash
# torch's random generator on the processor takes the lower 32 bits of a seed, without saying so.
#
# Version    torch 2.13.0 (CPU)
# Behaviour  torch.Generator().manual_seed takes 64-bit seeds and initial_seed() gives all 64 bits back, but
#            seeds that differ in the upper 32 bits draw the same numbers. numpy's default_rng takes
#            the whole seed.
# Output     torch, seeds 7 and 7 + 2^32: same numbers True, same initial_seed False
#            numpy, seeds 7 and 7 + 2^32: same numbers False
# Source     aten/src/ATen/core/MT19937RNGEngine.h: the seed of the Mersenne twister is cut to 32 bits.
# Consequence Noise of a differentially private training that is drawn from a secret 64-bit seed can be
#            guessed in 2^32 trials; runs of a large sweep with seeds from a hash of 64 bits can be the
#            same run. Draw such noise with numpy (SeedSequence) or from the operating system.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 "numpy<3"
env/bin/python - <<'PY'
import numpy as np
import torch

SEEDS = (7, 7 + 2**32)
made = [torch.Generator().manual_seed(seed) for seed in SEEDS]
drawn = [torch.randn(5, generator=generator) for generator in made]
seeds = [generator.initial_seed() for generator in made]
same = torch.equal(*drawn)
print(f"torch, seeds 7 and 7 + 2^32: same numbers {same}, same initial_seed {seeds[0] == seeds[1]}")
rows = [np.random.default_rng(seed).normal(size=5) for seed in SEEDS]
print(f"numpy, seeds 7 and 7 + 2^32: same numbers {np.array_equal(*rows)}")
assert same, "torch takes the whole seed now"
assert seeds[0] != seeds[1] and not np.array_equal(*rows)
PY
