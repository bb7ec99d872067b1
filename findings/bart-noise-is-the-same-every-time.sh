#!/usr/bin/env bash
# BART adds the same noise to every subject, and draws the same "random" pattern for every scan.
#
# Version    bart 0.8.00 (Debian 0.8.00-3), numpy 2.4.6
# Behaviour  `bart noise` and `bart poisson` begin with one fixed seed. Two calls add the same noise
#            to the last bit; two Poisson-disc patterns are the same. The help names -s as "random
#            seed initialization" and no default. With another -s each draws anew.
# Output     difference of two noisy scans of one object: 0; with -s 1 and -s 2 1.42 times the noise
#            two patterns: the same; with -s 1 and -s 2 different ones
# Source     `bart noise -h`, `bart poisson -h`
# Consequence A simulated test-retest study is perfectly repeatable, the noise of a cohort does not
#            average out, subtraction removes it (as in tag and control images), and a network
#            learns one noise image. Give each subject, coil map and repetition a seed of its own.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
command -v bart >/dev/null || { echo "needs Debian's package bart 0.8.00-3" >&2; exit 2; }
bart version | grep -q '0\.8\.00' || { echo "needs bart 0.8.00" >&2; exit 2; }
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6
bart phantom -x256 object
for scan in 1 2; do
  bart noise object plain_$scan
  bart noise -s $scan object seeded_$scan
  bart poisson -Y 64 -Z 64 -y 2 -z 2 pattern_plain_$scan > log
  bart poisson -Y 64 -Z 64 -y 2 -z 2 -s $scan pattern_seeded_$scan > log
done
env/bin/python - <<'PY'
import numpy as np


def read(name):
    return np.fromfile(f"{name}.cfl", np.complex64)


def deviation(values):
    return float(np.sqrt(np.mean(np.abs(values) ** 2)))


noise = deviation(read("plain_1") - read("object"))
plain, seeded = (deviation(read(f"{how}_1") - read(f"{how}_2")) for how in ("plain", "seeded"))
print(f"noise {noise:.2f}, difference of two scans {plain}, with -s {seeded / noise:.2f} times it")
assert 0.98 < noise < 1.02
assert plain == 0, "noise differs from call to call now"
assert round(seeded / noise, 2) == 1.42
first, second = (read(f"pattern_plain_{scan}") for scan in (1, 2))
print("two patterns are the same:", bool((first == second).all()))
assert (first == second).all(), "patterns differ from call to call now"
assert (read("pattern_seeded_1") != read("pattern_seeded_2")).any()
PY
