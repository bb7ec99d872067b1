"""T1 and T2 fits against truth: a vendor's map, the Cramer-Rao bound, scipy voxel by voxel.

    python benchmarks/mapping.py [--data ../shared/data] [--part phantom simulated scipy regions]

- phantom: nine vials, UK Biobank's sequence (ShMOLLI, 3 T), the vendor's own map: mean T1 of each
  vial by a fit of five samples, of all seven, and by the choice per voxel; how often the choice is
  the vendor's.
- simulated: bias and spread of T1 and T2 over noise, beside the bound; signs from phase and from
  the fit.
- scipy: `scipy.optimize.curve_fit` on voxels of the phantom: largest difference, voxels per CPU
  second.
- regions: how often the interval of a region's mean holds the truth.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import curve_fit

from popscan.relaxometry import (
    fit_decay,
    fit_recovery,
    fit_shmolli,
    region_value,
    signs_from_phase,
)
from popscan.relaxometry.simulate import SHMOLLI, inversion_signal, inversion_times_ms

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from shmolli_phantom import Phantom, read_phantom

T2_TIMES = np.array([0.0, 25.0, 55.0])


def phantom_part(phantom: Phantom) -> None:
    """Print T1 of each vial by three fits, and the vendor's."""
    inside = np.any(phantom.vials, axis=0)
    samples, times = phantom.magnitude[:, inside], phantom.times_ms
    signs = signs_from_phase(phantom.phase_rad[:, inside], times)
    five, seven = fit_recovery(samples[:5], times[:5]), fit_recovery(samples, times)
    chosen = fit_shmolli(samples, times)
    phased = fit_shmolli(samples, times, signs=signs)
    print("vendor_ms  five  seven  chosen  phase  (differences in ms)  same_choice_pct  se_ms")
    for vial in phantom.vials:
        own, vendor = vial[inside], phantom.vendor_ms[vial].mean()
        apart = [f.t1_ms[own].mean() - vendor for f in (five, seven, chosen, phased)]
        same = 100.0 * (chosen.n_samples[own] == phantom.vendor_n[vial]).mean()
        se = np.median(chosen.se_ms[own])
        print(f"{vendor:9.1f}" + "".join(f" {a:8.2f}" for a in apart) + f" {same:8.1f} {se:6.1f}")
    tissue = (phantom.magnitude.max(axis=0) > 200) & (phantom.vendor_n > 4)
    known = tissue & (phantom.vendor_ms > 150) & (phantom.vendor_ms < 2500)
    fit = fit_shmolli(phantom.magnitude[:, known], times)
    apart = np.abs(fit.t1_ms - phantom.vendor_ms[known])
    same = (fit.n_samples == phantom.vendor_n[known]).mean()
    print(
        f"every voxel of 150 to 2500 ms: n {known.sum()}, within 5 ms "
        f"{100 * (apart < 5).mean():.1f} %, same choice {100 * same:.1f} %, "
        f"without a value {np.isnan(fit.t1_ms).sum()}"
    )


def simulated_part() -> None:
    """Print bias and spread of T1 and T2 over noise."""
    rng, n = np.random.default_rng(0), 4000
    times = inversion_times_ms(SHMOLLI)
    print("T1, first five samples, M0 400: t1 noise  bias_ms  sd_over_bound  se_over_sd  | by fit")
    for t1 in (250.0, 600.0, 1200.0, 2000.0):
        for noise in (2.0, 5.0, 15.0):
            clean = inversion_signal(SHMOLLI[:1], t1_ms=np.full(n, t1), m0=400.0)
            signed = clean + noise * rng.standard_normal(clean.shape)
            bound = bound_ms(times[:5], t1, noise)
            words = []
            for signs in (np.sign(signed), None):
                fit = fit_recovery(np.abs(signed), times[:5], signs=signs)
                known = np.isfinite(fit.t1_ms)
                sd = fit.t1_ms[known].std()
                words.append(
                    f"{fit.t1_ms[known].mean() - t1:7.2f} {sd / bound:6.2f} "
                    f"{np.sqrt(np.nanmean(fit.se_ms**2)) / sd:6.2f} {100 * known.mean():6.1f} %"
                )
            print(f"{t1:6.0f} {noise:5.0f}  " + "  |  ".join(words))
    print("T1, seven samples of ShMOLLI without noise: t1  chosen  all seven  n")
    for t1 in (100.0, 250.0, 450.0, 700.0, 950.0, 1200.0, 1600.0, 2200.0):
        signal = np.abs(inversion_signal(SHMOLLI, t1_ms=np.array([t1]), m0=400.0))
        chosen, seven = fit_shmolli(signal, times), fit_recovery(signal, times)
        print(f"{t1:6.0f} {chosen.t1_ms[0]:8.1f} {seven.t1_ms[0]:8.1f} {chosen.n_samples[0]}")
    print("T2: t2 noise bias_ms sd_over_bound")
    for t2 in (40.0, 50.0, 80.0):
        for noise in (2.0, 6.0):
            clean = 300.0 * np.exp(-T2_TIMES / t2)[:, None]
            fit = fit_decay(clean + noise * rng.standard_normal((3, n)), T2_TIMES)
            decay = clean[:, 0] / 300.0
            jacobian = np.stack([decay, 300.0 * decay * T2_TIMES / t2**2], axis=1)
            bound = noise * np.sqrt(np.linalg.inv(jacobian.T @ jacobian)[1, 1])
            sd = np.nanstd(fit.t2_ms)
            print(f"{t2:6.0f} {noise:5.0f} {np.nanmean(fit.t2_ms) - t2:7.2f} {sd / bound:6.2f}")


def bound_ms(times: np.ndarray, t1_ms: float, noise: float, m0: float = 400.0) -> float:
    """Cramer-Rao bound of T1's standard deviation, T1* being 0.9 T1."""
    star, steady = 0.9 * t1_ms, 0.9 * m0
    a, b = steady, steady + m0
    decay = np.exp(-times / star)
    jacobian = np.stack([np.ones_like(times), -decay, -b * decay * times / star**2], axis=1)
    slope = np.array([-star * b / a**2, star / a, b / a - 1.0])
    return float(noise * np.sqrt(slope @ np.linalg.inv(jacobian.T @ jacobian) @ slope))


def model(times: np.ndarray, a: float, b: float, star: float) -> np.ndarray:
    """Signal of three parameters."""
    return a - b * np.exp(-times / star)


def scipy_part(phantom: Phantom) -> None:
    """Print how far scipy's fit of single voxels lies from the one of all together."""
    inside = np.any(phantom.vials, axis=0)
    samples, times = phantom.magnitude[:5, inside], np.array(phantom.times_ms[:5])
    signs = signs_from_phase(phantom.phase_rad[:5, inside], times)
    began = time.process_time()
    fit = fit_recovery(samples, times, signs=signs)
    together = samples.shape[1] / (time.process_time() - began)
    apart, voxels = [], np.flatnonzero(np.isfinite(fit.t1_ms) & (fit.t1_ms > 400))[::7]
    began = time.process_time()
    for voxel in voxels:
        signed = (samples * signs)[:, voxel]
        (a, b, star), _ = curve_fit(
            model, times, signed, p0=(signed.max(), 2 * signed.max(), 800.0), maxfev=4000
        )
        apart.append(abs(star * (b / a - 1.0) - fit.t1_ms[voxel]))
    single = len(voxels) / (time.process_time() - began)
    print(
        f"scipy on {len(voxels)} voxels: largest difference {max(apart):.4f} ms; "
        f"{together / single:.0f} times as many voxels per CPU second together"
    )


def regions_part() -> None:
    """Print the coverage of a region's interval for noise that neighbours share."""
    rng, n = np.random.default_rng(1), 1000
    x, y = np.mgrid[-24:24, -24:24]
    radius = np.hypot(x, y)
    shapes = {"disc, 20 mm": radius < 10, "ring, 8 mm wide": (radius > 12) & (radius < 20)}
    for name, shape in shapes.items():
        for blur in (0.0, 0.7, 1.0, 1.5):
            held = 0
            for _ in range(n):
                noise = rng.standard_normal(shape.shape)
                noise = ndimage.gaussian_filter(noise, blur) if blur else noise
                found = region_value(
                    1000 + 50 * noise[..., None], shape[..., None], spacing_mm=(1, 1, 8), level=0.9
                )
                held += found.low <= 1000 <= found.high
            print(f"{name}, noise blurred by {blur} mm: 90 % intervals hold {100 * held / n:.1f} %")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parts = ["phantom", "simulated", "scipy", "regions"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    args = parser.parse_args()
    if {"phantom", "scipy"} & set(args.part):
        phantom = read_phantom(args.data)
    if "phantom" in args.part:
        phantom_part(phantom)
    if "simulated" in args.part:
        simulated_part()
    if "scipy" in args.part:
        scipy_part(phantom)
    if "regions" in args.part:
        regions_part()


if __name__ == "__main__":
    main()
