"""Reconstruction: zero-filled and CG-SENSE against SigPy's SENSE, on the same k-space, same run.

Fully sampled multi-coil k-space of a real brain is undersampled in retrospect (every R-th line and
a fully sampled centre), so the fully sampled image is a reference. Both estimate coil maps by
ESPIRiT (`sigpy.mri.app.EspiritCalib`) and solve for the image (`sigpy.mri.app.SenseRecon`), with
the same weight of the Tikhonov term; for the rest both run as they come.

The data are ``FOLDER/kspace/brain_16coil_full.mat``: HDF5 (MATLAB 7.3) with one complex array
``raw``, here of 16 coils x 1 slice x 96 x 96. ``FOLDER`` is ``$POPSCAN_DATA`` by default.

Usage: ``python benchmarks/recon.py [--data FOLDER] [--repeats N]``; ``pip install sigpy`` for the
peer (its rows are left out without it, and the table says so). Time is processor time, which other
work on the machine does not change; with ``OMP_NUM_THREADS=1`` it is that of one core. SigPy makes
all of its 30 conjugate-gradient steps, CG-SENSE here at most 30, until its residual is small.
"Head" is where the reference exceeds 5% of its maximum: SigPy's maps leave the background out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.image_quality import score_image
from popscan.io.kspace import read_kspace_mat
from popscan.recon import reconstruct
from popscan.records import KSpace, Scan

CENTRE_LINES = 24
LAM = 0.01
ACCELERATIONS = (2, 3, 4)
DATA = Path(os.environ.get("POPSCAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def undersampled(data: NDArray[np.complex64], acceleration: int) -> KSpace:
    """One slice (coil, kx, ky) with every R-th line and a full centre."""
    mask = np.zeros((data.shape[2], 1), dtype=bool)
    mask[::acceleration] = True
    middle = data.shape[2] // 2
    mask[middle - CENTRE_LINES // 2 : middle + CENTRE_LINES // 2] = True
    return KSpace(
        data=(data * mask[:, 0])[..., np.newaxis, np.newaxis],
        mask=mask,
        affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0),
        view="other",
    )


def as_scan(image: NDArray) -> Scan:
    return Scan(
        array=np.abs(image).astype(np.float32)[..., np.newaxis, np.newaxis],
        affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0),
    )


def sigpy_sense(kspace: KSpace) -> Scan:
    """ESPIRiT maps, then SENSE."""
    from sigpy.mri import app

    data = kspace.data[..., 0, 0]
    # SigPy's ESPIRiT wants unit scale; so does a Tikhonov weight that means the same.
    data = data / np.abs(data).max()
    maps = app.EspiritCalib(data, calib_width=CENTRE_LINES, show_pbar=False).run()
    return as_scan(app.SenseRecon(data, maps, lamda=LAM, max_iter=30, show_pbar=False).run())


def methods() -> dict[str, Callable[[KSpace], Scan]]:
    table: dict[str, Callable[[KSpace], Scan]] = {
        name: lambda kspace, name=name, options=options: reconstruct(kspace, method=name, **options)
        for name, options in (("zero_filled", {}), ("cg_sense", {"lam": LAM}))
    }
    if importlib.util.find_spec("sigpy"):
        table["sigpy SenseRecon"] = sigpy_sense
    return table


def timed(function: Callable[[KSpace], Scan], kspace: KSpace, repeats: int) -> tuple[Scan, float]:
    """Return result and median seconds without the first call, which loads and compiles."""
    scan = function(kspace)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        scan = function(kspace)
        seconds.append(time.process_time() - start)
    return scan, statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds kspace/")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    file = arguments.data / "kspace" / "brain_16coil_full.mat"
    if not file.is_file():
        raise SystemExit(f"{file} does not exist: give --data or POPSCAN_DATA")
    data = read_kspace_mat(file)[:, 0]
    full = reconstruct(undersampled(data, 1), method="zero_filled")
    table = methods()
    head = full.array > 0.05 * full.array.max()
    print(
        "R  method            NRMSE   / zero-filled  in head  / zero-filled  PSNR dB  SSIM    "
        "median s  / cg_sense"
    )
    for acceleration in ACCELERATIONS:
        kspace = undersampled(data, acceleration)
        results = {name: timed(run, kspace, arguments.repeats) for name, run in table.items()}
        scores = {name: score_image(scan, full) for name, (scan, _) in results.items()}
        inner = {name: score_image(scan, full, roi=head) for name, (scan, _) in results.items()}
        for name, (_, seconds) in results.items():
            score = scores[name]
            print(
                f"{acceleration}  {name:16}  {score['nrmse']:.4f}  "
                f"{score['nrmse'] / scores['zero_filled']['nrmse']:13.2f}  "
                f"{inner[name]['nrmse']:.4f}   "
                f"{inner[name]['nrmse'] / inner['zero_filled']['nrmse']:13.2f}  "
                f"{score['psnr_db']:7.1f}  {score['ssim']:.4f}  {seconds:8.3f}  "
                f"{seconds / results['cg_sense'][1]:10.2f}"
            )
    if len(table) == 2:
        print("sigpy is not installed: no peer in this table (pip install sigpy)")


if __name__ == "__main__":
    main()
