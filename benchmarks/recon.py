"""Reconstruction beside BART and SigPy: the same k-space, coil maps, masks and metric, in one run.

    python benchmarks/recon.py [--data FOLDER] [--part maps brain slices single cines]
                               [--model BUNDLE ...] [--peer FILE] [--peer-crnn FILE]
                               [--n 8] [--r 4 8] [--frames 20] [--crop 0]

- maps: ESPIRiT beside ``bart ecalib`` on a fully sampled brain of 16 coils: difference (NRMSE) of
  the coil-combined images.
- brain: that brain, every R-th line and a full centre, real noise.
- slices: middle ED slices of ACDC patients with 8 simulated coils, background phase and noise,
  random lines; every method gets the same ESPIRiT maps, and its time is without them.
- single: one coil, no phase, no noise, as in Schlemper et al. (2018); with ``--peer`` (d5_c5.npz)
  the public weights of that paper's code on the same masks.
- cines: `--frames` frames between ED and ES of ACDC patients (motion interpolated along optical
  flow), 8 coils, noise, phase. Also inside the heart; of the deviation from the mean over time
  there (``moving``); and how much of the motion is kept: the slope of the reconstructed on the true
  deviation. ``cines-one``: the same of one coil; with ``--peer-crnn`` (crnn_mri_d5_c5.pth) beside
  the public weights of the CRNN. ``--crop`` cuts squares around the heart (0: whole images).

Each bundle of ``--model`` is run by its own method.

Patients are those that the shipped bundles were validated on. Of compressed sensing the best of the
same weights of the prior is shown for everybody, chosen on these very slices: the choice favours
all alike. PSNR is relative to the reference's maximum, after the best gain. Time is
processor time of all threads and child processes (``OMP_NUM_THREADS=1`` for one). Without BART
(Debian: bart) or SigPy (``pip install sigpy``) their rows are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import recon_crnn
import recon_peers as peers
from popscan.arrays.fourier import centred_ifft
from popscan.arrays.image_quality import fitted_gain, nrmse, psnr_db, ssim
from popscan.io.kspace import read_kspace_mat
from popscan.modelfolder import find_model, read_facts
from popscan.recon import coils, prepared, reconstruct, sense
from popscan.recon.espirit import espirit_maps
from popscan.recon.learned import ARCHITECTURES, ReconFacts
from popscan.records import KSpace
from recon_problems import DATA, WIDTH, Problem, brain, hearts

#: Weights of priors that compete.
LAMBDAS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04)
#: Default weights of cs_tv in space and time; multiples of both compete on cines.
CS_TV = (0.002, 0.01)
Method = Callable[[KSpace], NDArray[Any]]


def own(method: str, maps: NDArray[np.complex64], **options: Any) -> Method:
    """Return a method of popscan that is given the maps."""

    def run(kspace: KSpace) -> NDArray[Any]:
        given = lambda *_, **__: (maps, (WIDTH, WIDTH))  # noqa: E731
        kept = prepared.coil_maps, sense.coil_maps
        prepared.coil_maps = sense.coil_maps = given
        try:
            return reconstruct(kspace, method=method, **options).array[:, :, 0]
        finally:
            prepared.coil_maps, sense.coil_maps = kept

    return run


def of_peer(tool: Callable[..., Any], maps: NDArray[np.complex64], **options: Any) -> Method:
    """Return a method of BART or SigPy on one frame."""

    def run(kspace: KSpace) -> NDArray[Any]:
        return np.abs(tool(kspace.data[..., 0, 0], maps, **options))[..., np.newaxis]

    return run


def methods(problem: Problem, part: str, models: dict[str, str]) -> Iterator[tuple[str, Method]]:
    """Yield names and methods; names with the same start before ``:`` compete for the best."""
    mine = partial(own, maps=problem.maps)
    yield "zero_filled", mine("zero_filled")
    cine = problem.reference.shape[2] > 1
    if problem.maps.shape[0] > 1:
        yield "cg_sense", mine("cg_sense", **({} if cine else {"lam": 0.01, "prior": "zero"}))
    if cine:
        yield "view_sharing", mine("view_sharing")
        for lam in (0.0003, 0.001, 0.003):
            yield f"kt_sense: {lam}", mine("kt_sense", lam=lam)
        for lam in (0.003, 0.01, 0.03):
            yield (
                f"low_rank_sparse: {lam}",
                mine("low_rank_sparse", lam_low_rank=lam, lam_sparse=lam),
            )
        for lam in (0.5, 1, 2, 4):
            yield f"cs_tv: x{lam}", mine("cs_tv", lam=CS_TV[0] * lam, lam_time=CS_TV[1] * lam)
    else:
        n = 60 if part == "single" else 30
        for lam in LAMBDAS:
            yield f"cs_wavelet: {lam}", mine("cs_wavelet", lam=lam, n_iterations=n)
            yield f"cs_tv: {lam}", mine("cs_tv", lam=lam, n_iterations=n)
    for name, model in models.items():
        if (name == "kt_sense_net" and not cine) or (name == "dautomap" and part != "single"):
            continue
        yield name, mine(name, model=model)
    if cine:
        return
    for prior, title in (("W", "wavelet"), ("T", "TV")):
        for lam in LAMBDAS if peers.has_bart() else ():
            run = of_peer(peers.bart_pics, problem.maps, prior=prior, lam=lam, n=60)
            yield f"BART {title}: {lam}", run
    for app in ("L1WaveletRecon", "TotalVariationRecon") if peers.has_sigpy() else ():
        for lam in LAMBDAS[::2]:
            run = of_peer(peers.sigpy_app, problem.maps, name=app, lam=lam, n=60)
            yield f"SigPy {app}: {lam}", run


def scores(image: NDArray[Any], problem: Problem) -> list[float]:
    reference = problem.reference
    image = image * fitted_gain(image, reference)
    inside = np.broadcast_to(problem.roi[..., np.newaxis], reference.shape)
    mean, truth = (a.mean(axis=2, keepdims=True) for a in (image, reference))
    moving = (reference - truth)[inside]
    kept = float(np.sum((image - mean)[inside] * moving) / max(np.sum(moving**2), 1e-12))
    wrong = np.mean(((image - mean)[inside] - moving) ** 2)
    fast = 20 * np.log10(reference.max()) - 10 * np.log10(max(wrong, 1e-20))
    return [
        psnr_db(image, reference), psnr_db(image, reference, inside),
        *((fast, kept) if reference.shape[2] > 1 else (np.nan, np.nan)),
        ssim(image, reference), nrmse(image, reference),
    ]  # fmt: skip


def method_of(model: str) -> str:
    """Return the method that a bundle is for."""
    own = read_facts(find_model(model, of="reconstruction"), ReconFacts).architecture
    return next(method for method, architecture in ARCHITECTURES.items() if architecture == own)


def table(
    title: str, problems: list[Problem], part: str, models: dict[str, str], given: Any
) -> None:
    """Print the mean scores of every method; of several weights, the best."""
    rows: dict[str, list[list[float]]] = {}
    for problem in problems:
        runs = dict(methods(problem, part, models))
        if given.peer is not None and part == "single":
            network = peers.public_cascade(given.peer)
            runs["public DC-CNN weights"] = lambda k, n=network: peers.run_cascade(n, k)
        if given.peer_crnn is not None and part == "cines-one":
            crnn = recon_crnn.public_crnn(given.peer_crnn)
            runs["public CRNN weights"] = lambda k, n=crnn: recon_crnn.run_crnn(n, k)
        for name, run in runs.items():
            image, seconds = peers.timed(partial(run, problem.kspace))
            row = [*scores(image, problem), seconds / problem.reference.shape[2]]
            rows.setdefault(name, []).append(row)
    means = {name: np.mean(values, axis=0) for name, values in rows.items()}
    best: dict[str, str] = {}
    for name in means:
        start = name.split(":")[0]
        if start not in best or means[name][0] > means[best[start]][0]:
            best[start] = name
    print(f"\n== {title}: {len(problems)} ==")
    print(f"{'method':24}{'PSNR':>7}{'heart':>7}{'moving':>8}{'motion':>8}{'SSIM':>7}{'NRMSE':>8}"
          f"{'s/frame':>9}")  # fmt: skip
    for name in best.values():
        a, b, c, d, e, f, g = means[name]
        print(f"{name:24}{a:7.2f}{b:7.2f}{c:8.2f}{d:8.3f}{e:7.3f}{f:8.4f}{g:9.3f}", flush=True)


def show_maps(data: NDArray[np.complex64]) -> None:
    """Print how far coil-combined images by our maps and by BART's are apart."""
    if not peers.has_bart():
        print("BART is not installed: no comparison of maps")
        return
    images = centred_ifft(data, axes=(1, 2))
    theirs_maps, seconds = peers.timed(partial(peers.bart_maps, data, width=WIDTH))
    theirs = np.abs(np.sum(theirs_maps.conj() * images, axis=0))
    centre = coils.centre_of(data, (WIDTH, WIDTH))
    small, _ = coils.low_resolution_images(data, width=WIDTH)
    print("\n== coil maps of the brain: NRMSE of the combined image against bart ecalib's ==")
    for name, run in (
        ("espirit", lambda: espirit_maps(centre, data.shape[1:])[0]),
        ("walsh", lambda: coils.walsh_maps(small)),
    ):
        found, own_seconds = peers.timed(run)
        ours = np.abs(np.sum(found.conj() * images, axis=0))
        gain = fitted_gain(ours, theirs)
        print(f"{name:10}{nrmse(gain * ours, theirs):.4f}, {own_seconds / seconds:.2f} of its time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds kspace/, acdc/")
    parts = ("maps", "brain", "slices", "single", "cines", "cines-one")
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--model", nargs="*", default=["recon_cine"], help="bundles")
    parser.add_argument("--peer", type=Path, help="public weights of DC-CNN (d5_c5.npz)")
    parser.add_argument("--peer-crnn", type=Path, help="public weights of CRNN (.pth)")
    parser.add_argument("--frames", type=int, default=20, help="of a cine")
    parser.add_argument("--crop", type=int, default=0, help="side of squares around the heart")
    parser.add_argument("--n", type=int, default=8, help="patients")
    parser.add_argument("--r", type=int, nargs="+", default=[4, 8], help="accelerations of hearts")
    given = parser.parse_args()
    models = {method_of(model): model for model in given.model}
    scan = read_kspace_mat(given.data / "kspace" / "brain_16coil_full.mat")[:, 0]
    if "maps" in given.part:
        show_maps(scan)
    for r in (2, 4) if "brain" in given.part else ():
        table(f"brain, 16 coils, R = {r}", [brain(scan, r)], "brain", models, given)
    for part in parts[2:]:
        for r in given.r if part in given.part else ():
            found = hearts(given.data, part, r, given.n, n_frames=given.frames, crop=given.crop)
            table(f"{part}, R = {r}", list(found), part, models, given)


if __name__ == "__main__":
    main()
