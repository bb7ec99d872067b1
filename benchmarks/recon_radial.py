"""Golden-angle k-space: popscan's `cg_nufft` beside BART's `pics`, same samples, same metric.

``python benchmarks/recon_radial.py`` needs Debian's ``bart``. BART simulates a phantom in 8 coils
at golden-angle spokes (analytic k-space); the truth is the root of the sum of squares of the coil
images that it draws. Both get the same noise, one core, and of a few weights the one that is best
on the truth. NRMSE after the best scaling; the CPU time of BART holds gridding, maps and solution.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from popscan.config.kspace import KSpaceInput
from popscan.io import read_cfl
from popscan.io.kspace_formats import read_any_kspace
from popscan.recon import reconstruct

WEIGHTS = {"cg_nufft": (0.003, 0.01, 0.03, 0.1), "bart": (0.0003, 0.001, 0.003, 0.01, 0.03)}


def bart(folder: Path, *command: object) -> float:
    """Run BART; CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        ["bart", *map(str, command)], cwd=folder, check=True, capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    scale = float((image * truth).sum() / (image**2).sum())
    return float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))


def peer(folder: Path, lam: float) -> tuple[float, np.ndarray]:
    seconds = bart(folder, "nufft", "-i", "-t", "a_traj", "a_kspace", "low")
    seconds += bart(folder, "fft", "-u", 3, "low", "grid")
    seconds += bart(folder, "ecalib", "-m1", "-c", 0, "grid", "maps")
    seconds += bart(
        folder, "pics", "-S", "-l2", "-r", lam, "-t", "a_traj", "a_kspace", "maps", "out"
    )
    return seconds, np.abs(read_cfl(folder / "out")).squeeze()


def own(folder: Path, lam: float) -> tuple[float, np.ndarray]:
    rules = KSpaceInput(spacing_mm=[2, 2, 8], coils=0)
    kspace = read_any_kspace(folder / "a_kspace.cfl", view="sax", rules=rules)
    before = time.process_time()
    scan = reconstruct(kspace, method="cg_nufft", lam=lam, prior="zero")
    return time.process_time() - before, scan.array[:, :, 0, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matrix", type=int, default=128)
    parser.add_argument("--spokes", type=int, nargs="+", default=[201, 50, 34, 21])
    parser.add_argument("--noise", type=float, default=1.0, help="variance as BART's noise -n")
    options = parser.parse_args()
    print("| spokes | NRMSE cg_nufft | NRMSE bart pics | CPU time, bart / cg_nufft |")
    print("|---|---|---|---|")
    for n_spokes in options.spokes:
        with tempfile.TemporaryDirectory() as name:
            folder, n = Path(name), options.matrix
            bart(folder, "traj", "-r", "-G", "-x", n, "-y", n_spokes, "a_traj")
            bart(folder, "phantom", "-s", 8, "-k", "-t", "a_traj", "clean")
            bart(folder, "noise", "-s", 1, "-n", options.noise, "clean", "a_kspace")
            bart(folder, "phantom", "-s", 8, "-x", n, "coils")
            bart(folder, "rss", 8, "coils", "truth")
            truth = read_cfl(folder / "truth").real
            best = {}
            for which, run in (("cg_nufft", own), ("bart", peer)):
                tried = [run(folder, lam) for lam in WEIGHTS[which]]
                errors = [nrmse(image, truth) for _, image in tried]
                best[which] = min(errors), float(np.median([seconds for seconds, _ in tried]))
            ratio = best["bart"][1] / best["cg_nufft"][1]
            print(
                f"| {n_spokes} | {best['cg_nufft'][0]:.3f} | {best['bart'][0]:.3f} | {ratio:.1f} |"
            )


if __name__ == "__main__":
    main()
