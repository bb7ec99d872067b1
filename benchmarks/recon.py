"""Reconstruction beside BART and SigPy: the same k-space, coil maps, masks and metric, in one run.

    python benchmarks/recon.py [--data FOLDER] [--part maps brain slices single cines]
                               [--model BUNDLE] [--peer FILE] [--n 8] [--r 4 8]

- maps: ESPIRiT beside ``bart ecalib`` on a fully sampled brain of 16 coils: difference (NRMSE) of
  the coil-combined images.
- brain: that brain, every R-th line and a full centre, real noise.
- slices: middle ED slices of ACDC patients with 8 simulated coils, background phase and noise,
  random lines; every method gets the same ESPIRiT maps, and its time is without them.
- single: one coil, no phase, no noise, as in Schlemper et al. (2018); with ``--peer`` (d5_c5.npz)
  the public weights of that paper's code on the same masks.
- cines: 20 frames between ED and ES of ACDC patients (motion interpolated along optical flow),
  8 coils, noise, phase. Also inside the heart, and how much of the motion is kept: the slope of
  the reconstructed on the true deviation from the mean over time, where something moves.

Patients are those that the shipped bundles were validated on. Of compressed sensing the best of the
same weights of the prior is shown for everybody, chosen on these very slices: the choice favours
all alike. PSNR is relative to the reference's maximum, after the best gain. Time is
processor time of all threads and child processes (``OMP_NUM_THREADS=1`` for one). Without BART
(Debian: bart) or SigPy (``pip install sigpy``) their rows are left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import recon_peers as peers
from popscan.arrays.coils import ring_maps, smooth_phase
from popscan.arrays.fourier import centred_fft, centred_ifft
from popscan.arrays.image_quality import fitted_gain, nrmse, psnr_db, ssim
from popscan.arrays.sampling import sampling_mask
from popscan.io.kspace import read_kspace_mat
from popscan.protocols.cine_sax.training.shipped import split_acdc
from popscan.recon import coils, prepared, reconstruct, sense
from popscan.recon.espirit import espirit_maps
from popscan.records import KSpace
from popscan.train.kspace import sweep_places
from popscan.train.sweeps import interpolated
from popscan.train.undersampling import Undersampling
from segmentation import acdc_cases

DATA = Path(os.environ.get("POPSCAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
WIDTH = 24
#: Weights of priors that compete.
LAMBDAS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04)
FRAMES = 20
Method = Callable[[KSpace], NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """K-space, its true maps' estimate, and what should come out."""

    kspace: KSpace
    maps: NDArray[np.complex64]
    reference: NDArray[np.float32]
    roi: NDArray[np.bool_]


def as_kspace(data: NDArray[np.complex64], mask: NDArray[np.bool_]) -> KSpace:
    """Wrap (coil, kx, ky, t) with lines (ky, t) as k-space of one slice."""
    masked = (data * mask[np.newaxis, np.newaxis]).astype(np.complex64)
    return KSpace(
        data=masked[:, :, :, np.newaxis], mask=mask, affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0), view="other",
    )  # fmt: skip


def estimated_maps(kspace: KSpace) -> NDArray[np.complex64]:
    data = np.moveaxis(kspace.data[:, :, :, 0], -1, 0)
    if data.shape[1] == 1:
        return np.ones((1, *data.shape[2:]), np.complex64)
    average = coils.temporal_average(np.ascontiguousarray(data))
    _, block = coils.low_resolution_images(average, width=WIDTH)
    return espirit_maps(coils.centre_of(average, block), data.shape[2:])[0]


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


def methods(problem: Problem, part: str, model: str) -> Iterator[tuple[str, Method]]:
    """Yield names and methods; names with the same start before ``:`` compete for the best."""
    mine = partial(own, maps=problem.maps)
    yield "zero_filled", mine("zero_filled")
    cine = problem.reference.shape[2] > 1
    if problem.maps.shape[0] > 1:
        yield "cg_sense", mine("cg_sense", **({} if cine else {"lam": 0.01, "prior": "zero"}))
    if cine:
        for name in ("view_sharing", "kt_sense", "low_rank_sparse", "cs_tv"):
            yield name, mine(name)
    else:
        n = 60 if part == "single" else 30
        for lam in LAMBDAS:
            yield f"cs_wavelet: {lam}", mine("cs_wavelet", lam=lam, n_iterations=n)
            yield f"cs_tv: {lam}", mine("cs_tv", lam=lam, n_iterations=n)
    if model:
        yield "dc_cnn", mine("dc_cnn", model=model)
        yield "dc_cnn bfloat16", mine("dc_cnn", model=model, precision="bfloat16")
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
    return [
        psnr_db(image, reference), psnr_db(image, reference, inside), ssim(image, reference),
        nrmse(image, reference), kept if reference.shape[2] > 1 else float("nan"),
    ]  # fmt: skip


def table(title: str, problems: list[Problem], part: str, model: str, peer: Path | None) -> None:
    """Print the mean scores of every method; of several weights, the best."""
    rows: dict[str, list[list[float]]] = {}
    for problem in problems:
        runs = dict(methods(problem, part, model))
        if peer is not None and part == "single":
            network = peers.public_cascade(peer)
            runs["public DC-CNN weights"] = lambda k, n=network: peers.run_cascade(n, k)
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
    print(f"{'method':28}{'PSNR':>7}{'heart':>7}{'SSIM':>7}{'NRMSE':>8}{'motion':>8}{'s/frame':>9}")
    for name in best.values():
        a, b, c, d, e, f = means[name]
        print(f"{name:28}{a:7.2f}{b:7.2f}{c:7.3f}{d:8.4f}{e:8.3f}{f:9.3f}", flush=True)


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


def brain(data: NDArray[np.complex64], acceleration: int) -> Problem:
    mask = np.zeros((data.shape[2], 1), dtype=bool)
    mask[::acceleration] = True
    middle = data.shape[2] // 2
    mask[middle - WIDTH // 2 : middle + WIDTH // 2] = True
    reference = np.linalg.norm(centred_ifft(data, axes=(1, 2)), axis=0)[..., np.newaxis]
    kspace = as_kspace(data[..., np.newaxis], mask)
    head = reference[..., 0] > 0.05 * reference.max()
    return Problem(kspace=kspace, maps=estimated_maps(kspace), reference=reference, roi=head)


def hearts(data: Path, part: str, acceleration: int, n: int) -> Iterator[Problem]:
    """Yield slices or cines of validation patients; the same for every method and run."""
    for k, case in enumerate(split_acdc(acdc_cases(data / "acdc"))[1][:n]):
        rng = np.random.default_rng(k)
        array = np.asarray(case.scan.array, np.float32)
        z = array.shape[2] // 2
        ends = array[:, :, z] / np.percentile(array[:, :, z], 99.5)
        roi = (case.labels.array[:, :, z] > 0).any(axis=-1)
        frames = ends[..., :1]
        if part == "cines":
            sweep = interpolated(ends[..., 0], ends[..., 1])
            how = Undersampling(cycle_frames=(FRAMES, FRAMES + 1e-6))
            place = sweep_places(FRAMES, how, rng)
            low = np.minimum(place.astype(int), len(sweep) - 2)
            share = (place - low)[:, None, None].astype(np.float32)
            frames = np.moveaxis((1 - share) * sweep[low] + share * sweep[low + 1], 0, -1)
        n_coils = 1 if part == "single" else 8
        shape = frames.shape[:2]
        maps = ring_maps(shape, coils=n_coils, rng=rng)[..., np.newaxis]
        turn = np.ones(shape) if part == "single" else smooth_phase(shape, rng=rng)
        full = centred_fft((maps * frames * turn[..., np.newaxis]).astype("c8"), axes=(1, 2))
        if part != "single":
            full = full + 0.01 * (rng.normal(size=full.shape) + 1j * rng.normal(size=full.shape))
        mask = sampling_mask(
            shape[1], frames.shape[2], acceleration=acceleration,
            acs_lines={"single": 8, "slices": 20, "cines": 10}[part],
            pattern="lattice" if part == "cines" else "gaussian", rng=rng,
        )  # fmt: skip
        kspace = as_kspace(full, mask)
        yield Problem(kspace=kspace, maps=estimated_maps(kspace), reference=frames, roi=roi)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds kspace/, acdc/")
    parts = ("maps", "brain", "slices", "single", "cines")
    parser.add_argument("--part", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--model", default="", help="bundle of dc_cnn")
    parser.add_argument("--peer", type=Path, help="public weights of DC-CNN (d5_c5.npz)")
    parser.add_argument("--n", type=int, default=8, help="patients")
    parser.add_argument("--r", type=int, nargs="+", default=[4, 8], help="accelerations of hearts")
    given = parser.parse_args()
    scan = read_kspace_mat(given.data / "kspace" / "brain_16coil_full.mat")[:, 0]
    if "maps" in given.part:
        show_maps(scan)
    for r in (2, 4) if "brain" in given.part else ():
        table(f"brain, 16 coils, R = {r}", [brain(scan, r)], "brain", "", None)
    for part in ("slices", "single", "cines"):
        for r in given.r if part in given.part else ():
            count = min(given.n, 3) if part == "cines" else given.n
            problems = list(hearts(given.data, part, r, count))
            table(f"{part}, R = {r}", problems, part, given.model, given.peer)


if __name__ == "__main__":
    main()
