#!/usr/bin/env bash
# BART's pics gives the same image for k-space ten times as strong: each call takes its own scale out.
#
# Version    bart 0.8.00 (Debian 0.8.00-3), numpy 2.4.6
# Behaviour  A full phantom, four coils, reconstructed by `bart pics` as it is and times 10, with the
#            same coil maps: the two images are equal. So they are with wavelet regularisation. The
#            scale is taken from each call's own data and not put back; `-S` puts it back. Nothing
#            in the result's header says which factor it was.
# Output     10 times the signal: image 1.00 times as bright; with -S 10.00 times
# Source     `bart pics -h` (-S: re-scale the image after reconstruction; -w: inverse scaling of the data)
# Consequence Frames, slices, contrasts or echoes that are reconstructed one call at a time lose what
#            they have in common: T1 and perfusion curves become flat, neighbouring slices differ in
#            brightness, and errors against a reference are computed on another scale. Reconstruct
#            them in one call, or with -S.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
command -v bart >/dev/null || { echo "needs Debian's package bart 0.8.00-3" >&2; exit 2; }
bart version | grep -q '0\.8\.00' || { echo "needs bart 0.8.00" >&2; exit 2; }
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6
bart phantom -k -s4 -x64 weak
bart scale 10 weak strong
bart ecalib -m1 weak maps > /dev/null
for data in weak strong; do
  bart pics $data maps plain_$data > /dev/null
  bart pics -RW:3:0:0.01 $data maps wavelet_$data > /dev/null
  bart pics -S $data maps scaled_$data > /dev/null
done
env/bin/python - <<'PY'
from pathlib import Path

import numpy as np


def image(name):
    shape = [int(n) for n in Path(f"{name}.hdr").read_text().splitlines()[1].split()]
    return np.abs(np.fromfile(f"{name}.cfl", np.complex64)).reshape(shape, order="F")


def ratio(way):
    return image(f"{way}_strong").mean() / image(f"{way}_weak").mean()


plain, wavelet, scaled = ratio("plain"), ratio("wavelet"), ratio("scaled")
print(f"10 times the signal: image {plain:.2f} times as bright; with -S {scaled:.2f} times")
assert np.isclose(plain, 1, atol=1e-3) and np.isclose(wavelet, 1, atol=1e-3), "linear now"
assert np.isclose(scaled, 10, rtol=1e-3)
PY
