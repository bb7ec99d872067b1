"""Flow through a plane against truth: a simulated pipe, and planes of a computed aorta.

    python benchmarks/flow.py [--data ../shared/data] [--part pipe aorta]

- pipe: pulsatile, analytic; net volume with and without background correction and unwrapping, by
  velocity encoding.
- aorta: every plane of a computed aorta at low resolution with noise, its region from the mask,
  beside the flow at full resolution without noise; then the same with an encoding so low that
  velocities alias.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import h5py
import numpy as np

from popscan.flow import (
    correct_background,
    flow_curve,
    measure_flow,
    phase_radians,
    unwrap_velocity,
    velocity_cm_s,
)
from popscan.flow.simulate import pulsatile_pipe

N_PIPES = 20


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
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--part", nargs="+", choices=["pipe", "aorta"], default=["pipe", "aorta"])
    args = parser.parse_args()
    if "pipe" in args.part:
        pipe_part()
    if "aorta" in args.part:
        aorta_part(args.data)


if __name__ == "__main__":
    main()
