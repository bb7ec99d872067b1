"""Flow through a plane against truth: a simulated pipe, and planes of a computed aorta.

    python benchmarks/flow.py [--data ../shared/data] [--part pipe road doubt aorta]

- pipe: pulsatile, analytic; net volume with and without background correction and unwrapping, by
  velocity encoding.
- road: planes of two vessels (parabolic flow, oblique, moving) written as BIDS NIfTI, read by the
  source of protocol `flow_2d`, ingested and measured as the stages do; the same for other faults of
  acquisition: a curved background, few pixels, regions that are too wide or do not follow.
- doubt: how often truth lies within 1.96 standard errors of net volume and regurgitant fraction.
- aorta: every plane of a computed aorta at low resolution with noise, its region from the mask,
  beside the flow at full resolution without noise; then the same with an encoding so low that
  velocities alias.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from scipy import ndimage

from popscan.flow import (
    correct_background,
    flow_curve,
    measure_flow,
    phase_radians,
    unwrap_velocity,
    velocity_cm_s,
)
from popscan.flow.simulate import Tube, acquire, pulsatile_pipe
from popscan.ingest import prepare
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.protocols.flow_2d.biomarkers import measure
from popscan.protocols.flow_2d.context import FlowContext
from popscan.protocols.flow_2d.qc import CHECKS
from popscan.qc import run_checks

N_PIPES, N_ROADS, N_DOUBTS = 20, 20, 60
CYCLE_S = 0.9


def pipe_part() -> None:
    """Print errors of the net volume, mean and SD over pipes."""
    print("venc_cm_s  net_ml  as acquired  + background  + unwrapped  (mean, SD in mL)  se_ml")
    for venc in (150.0, 100.0, 80.0, 60.0, 40.0):
        rows = []
        for seed in range(N_PIPES):
            pipe = pulsatile_pipe(seed=seed, venc_cm_s=venc)
            acquired = velocity_cm_s(phase_radians(pipe.phase_rad), venc_cm_s=venc)
            found = correct_background(acquired, pipe.magnitude)
            right = unwrap_velocity(found.velocity, pipe.region, venc_cm_s=venc).velocity
            numbers = [
                measure_flow(
                    v, pipe.region, pixel_cm2=pipe.pixel_cm2, cycle_s=pipe.cycle_s,
                    offset_se=found.se,
                )
                for v in (acquired, found.velocity, right)
            ]  # fmt: skip
            net = pipe.forward_ml - pipe.backward_ml
            rows.append([net, *(n.net_ml - net for n in numbers), numbers[-1].net_se_ml])
        mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0)
        errors = "".join(f" {mean[i]:7.2f} ({sd[i]:5.2f})" for i in (1, 2, 3))
        print(f"{venc:6.0f} {mean[0]:8.1f} {errors} {mean[4]:7.2f}")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way in which a plane is acquired or drawn."""

    words: str
    venc: float = 150.0
    spacing_mm: float = 1.8
    frames: int = 30
    snr: float = 30.0
    curved_cm_s: float = 0.0
    wider: int = 0
    follows: bool = True


CASES = (
    Case(words="encoding 150 cm/s"),
    Case(words="encoding 80: wraps once", venc=80.0),
    Case(words="encoding 45: wraps", venc=45.0),
    Case(words="encoding 400", venc=400.0),
    Case(words="noise: SNR 10", snr=10.0),
    Case(words="pixels of 3 mm", spacing_mm=3.0),
    Case(words="12 frames", frames=12),
    Case(words="curved background, 1 cm/s", curved_cm_s=1.0),
    Case(words="region a pixel too wide", wider=1),
    Case(words="region a pixel too narrow", wider=-1),
    Case(words="region of one frame for all", follows=False),
)


def road_part() -> None:
    """Print errors from files to numbers, mean and SD over planes."""
    print("case | aorta: net error mL, regurgitant error points, peak error % (mean, SD) | QC")
    for case in CASES:
        rows, flags = [], Counter()
        for seed in range(N_ROADS):
            found, truth, verdicts = measured_from_files(case, seed)
            rows.append(
                (
                    found["aorta_net_ml"] - truth["net_ml"],
                    found["aorta_regurgitant_pct"] - truth["regurgitant_pct"],
                    100 * (found["aorta_peak_cm_s"] / truth["peak_cm_s"] - 1),
                )
            )
            flags.update(name for name, one in verdicts.items() if one in ("review", "fail"))
        mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0)
        shown = ", ".join(f"{m:6.2f} ({s:.2f})" for m, s in zip(mean, sd, strict=True))
        seen = ", ".join(f"{name} {n}/{N_ROADS}" for name, n in flags.most_common())
        print(f"{case.words:28s} | {shown} | {seen or 'passes'}")


def doubt_part() -> None:
    """Print how often the truth lies within 1.96 standard errors, by noise."""
    print("case | net: within, error SD over mean SE | regurgitant fraction: the same")
    for case in (CASES[0], CASES[1], CASES[4], CASES[7]):
        net, share = [], []
        for seed in range(N_DOUBTS):
            found, _, _ = measured_from_files(case, seed)
            # Without noise and background: what the outline does is in no standard error.
            clean = replace(case, snr=1e6, curved_cm_s=0.0)
            exact, _, _ = measured_from_files(clean, seed, offset_cm_s=0.0, phase_kind="4096ths")
            for out, name in ((net, "net"), (share, "regurgitant")):
                unit = "ml" if name == "net" else "pct"
                error = found[f"aorta_{name}_{unit}"] - exact[f"aorta_{name}_{unit}"]
                out.append((error, found[f"aorta_{name}_se_{unit}"]))
        words = []
        for pairs in (net, share):
            error, se = np.array(pairs).T
            words.append(
                f"{np.mean(np.abs(error) < 1.96 * se):.0%}, "
                f"{np.sqrt(np.mean(error**2)) / se.mean():.2f}"
            )
        print(f"{case.words:28s} | {' | '.join(words)}")


def measured_from_files(
    case: Case, seed: int, *, offset_cm_s: float = 1.5, phase_kind: str = "auto"
) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    """Write a plane, read, ingest, measure and check it; numbers, truth, verdicts."""
    rng = np.random.default_rng(seed)
    aorta = Tube(
        code=1, centre_mm=(-14 + rng.uniform(-4, 4), 12 + rng.uniform(-4, 4)),
        radius_mm=rng.uniform(12, 16), tilt_deg=rng.uniform(0, 25), sway_mm=3.0,
        peak_cm_s=rng.uniform(90, 140), back=rng.uniform(0, 0.25), profile=2.0,
    )  # fmt: skip
    down = Tube(
        code=2, centre_mm=(20, -26), radius_mm=11, sway_mm=1.5, peak_cm_s=-90, back=0.03, profile=2
    )
    n = round(130 / case.spacing_mm)
    made = acquire(
        [aorta, down], rng=rng, venc_cm_s=case.venc, n=n, spacing_mm=case.spacing_mm,
        frames=case.frames, snr=case.snr, offset_cm_s=offset_cm_s,
    )  # fmt: skip
    x, y = np.meshgrid(*[np.linspace(-1, 1, n)] * 2, indexing="ij")
    bend = case.curved_cm_s * (x**2 + y**2) * math.pi / case.venc
    phase = np.angle(np.exp(1j * (made.phase_rad + bend[..., None])))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "sub-1"
        root.mkdir()
        files = {
            "part-mag_flow": (400 * made.magnitude).astype(np.float32),
            "part-phase_flow": (phase * (4096 / math.pi)).astype(np.float32),
            "flow_dseg": _drawn(made.labels, case),
        }
        for name, array in files.items():
            image = nib.Nifti1Image(array[:, :, None], np.diag([-1.0, -1.0, 6.0, 1.0]))
            image.header.set_zooms((case.spacing_mm, case.spacing_mm, 6.0, CYCLE_S / case.frames))
            affine = np.diag([-case.spacing_mm, -case.spacing_mm, 6.0, 1.0])
            image.set_sform(affine, code=1)
            image.set_qform(affine, code=1)
            image.header.set_xyzt_units("mm", "sec")
            nib.save(image, root / f"sub-1_{name}.nii.gz")
        side = {"VelocityEncoding": case.venc, "RRInterval": CYCLE_S}
        (root / "sub-1_part-phase_flow.json").write_text(json.dumps(side))
        protocol = get_protocol("flow_2d")
        loaded = get_source("bids", protocol).load([str(root)], flow={"phase": phase_kind})
    scan, labels, _ = prepare(protocol, loaded.scans["flow"], loaded.labels["flow"])
    found = measure(
        labels.array, image=scan.array, spacing_mm=scan.spacing_mm, meta=scan.meta,
        frame_times_ms=scan.frame_times_ms,
    )  # fmt: skip
    verdicts = {c.name: str(c.verdict) for c in run_checks(CHECKS, FlowContext(scan, labels.array))}
    forward, backward = aorta.volumes_ml(CYCLE_S)
    truth = {
        "net_ml": forward - backward, "regurgitant_pct": 100 * backward / forward,
        "peak_cm_s": aorta.peak_cm_s * math.cos(math.radians(aorta.tilt_deg)),
    }  # fmt: skip
    return found, truth, verdicts


def _drawn(labels: np.ndarray, case: Case) -> np.ndarray:
    """Regions as somebody would draw them who is a pixel off, or draws one frame only."""
    out = np.zeros_like(labels)
    for code in (1, 2):
        for t in range(labels.shape[2]):
            region = labels[..., t] == code
            if case.wider:
                turn = ndimage.binary_dilation if case.wider > 0 else ndimage.binary_erosion
                region = turn(region)
            out[..., t][region] = code
    return out if case.follows else np.repeat(out[..., :1], labels.shape[2], axis=2)


def aorta_part(data: Path) -> None:
    """Print how flow through planes of the low-resolution aorta lies beside the truth."""
    with (
        h5py.File(data / "flow_4d" / "example_data.h5") as low,
        h5py.File(data / "flow_4d" / "example_data_HR.h5") as high,
    ):
        step, fine = float(low["dx"][0, 0]) / 10, float(high["dx"][0, 0]) / 10
        print("component axis venc planes  slope r rmse_pct by plane | by volume  aliased torn")
        for name in "uvw":
            coarse, truth = 100.0 * low[name][0], 100.0 * high[name][0]
            inside, whole = low["mask"][0] > 0.5, high["mask"][0] > 0.5
            for axis in range(3):
                for venc in (150.0, 0.6 * float(np.abs(truth).max())):
                    _planes(name, axis, venc, (coarse, inside, step), (truth, whole, fine))


def _planes(name: str, axis: int, venc: float, low: tuple, high: tuple) -> None:
    coarse, inside, step = low
    truth, whole, fine = high
    wrapped = np.angle(np.exp(1j * math.pi * coarse / venc)) * venc / math.pi
    volume = unwrap_velocity(
        np.moveaxis(wrapped, axis, 2), np.moveaxis(inside, axis, 2), venc_cm_s=venc, cyclic=False
    )
    found, together, real = [], [], []
    for plane in range(1, coarse.shape[axis] - 1):
        region = np.take(inside, plane, axis)[..., None]
        if region.sum() < 30:
            continue
        single = np.take(wrapped, plane, axis)[..., None]
        one = unwrap_velocity(single, region, venc_cm_s=venc)
        found.append(float(flow_curve(one.velocity, region, pixel_cm2=step**2)[0]))
        whole_one = volume.velocity[:, :, [plane]]
        together.append(float(flow_curve(whole_one, region, pixel_cm2=step**2)[0]))
        pair = [
            np.take(np.where(whole, truth, 0.0), 2 * plane + i, axis).sum() * fine**2
            for i in (0, 1)
        ]
        real.append(float(np.mean(pair)))
    words = []
    for flow in (found, together):
        slope = float(np.dot(flow, real) / np.dot(real, real))
        rmse = 100 * float(np.sqrt(np.mean(np.subtract(flow, real) ** 2)) / np.abs(real).max())
        words.append(f"{slope:6.3f} {np.corrcoef(flow, real)[0, 1]:6.3f} {rmse:6.1f}")
    print(
        f"{name} {axis} {venc:6.1f} {len(real):4d}  {words[0]}  |  {words[1]}  "
        f"{volume.aliased_pct:6.1f} {volume.torn_pct:6.2f}"
    )


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"pipe": pipe_part, "road": road_part, "doubt": doubt_part, "aorta": aorta_part}
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--part", nargs="+", choices=list(parts), default=list(parts))
    args = parser.parse_args()
    for name in args.part:
        parts[name](*([args.data] if name == "aorta" else []))


if __name__ == "__main__":
    main()
