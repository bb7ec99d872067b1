#!/usr/bin/env bash
# Looking for noise scans by the constant's bit finds the calibration lines in their place.
#
# Version    ismrmrd 1.15.0 (the Python package)
# Behaviour  ismrmrd.ACQ_IS_NOISE_MEASUREMENT is 19, ACQ_IS_PARALLEL_CALIBRATION 20. These are not
#            bit numbers: flag n is bit n - 1. `flags & (1 << ACQ_IS_NOISE_MEASUREMENT)` is 0 for a
#            noise scan and not 0 for a calibration line. is_flag_set counts as the format does.
# Output     noise scan: by is_flag_set True, by 1 << 19 False
#            calibration line: by is_flag_set False, by 1 << 19 True
# Source     ismrmrd.h and ismrmrd.c: the enumeration begins at 1, a flag's mask is 1 << (flag - 1).
# Consequence Code that reads all heads as one array, and filters by bit, leaves noise in k-space
#            and throws calibration lines away. An image comes out all the same, and only looks
#            worse.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ismrmrd==1.15.0 numpy==2.4.6
env/bin/python - <<'PY'
import ismrmrd
import numpy as np

seen = {}
with ismrmrd.Dataset("scan.h5") as data:
    for flag in (ismrmrd.ACQ_IS_NOISE_MEASUREMENT, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION):
        line = ismrmrd.Acquisition.from_array(np.ones((1, 8), np.complex64))
        line.set_flag(flag)
        data.append_acquisition(line)
with ismrmrd.Dataset("scan.h5", create_if_needed=False) as data:
    for i, name in enumerate(("noise scan", "calibration line")):
        line = data.read_acquisition(i)
        by_name = bool(line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
        by_bit = bool(line.flags & (1 << ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
        print(f"{name}: by is_flag_set {by_name}, by 1 << 19 {by_bit}")
        seen[name] = (by_name, by_bit)
assert seen == {"noise scan": (True, False), "calibration line": (False, True)}
PY
