"""How fast a cine is segmented, beside nnU-Net's own predictor in the same run.

    python benchmarks/segmentation_speed.py --peer-python /path/to/env/bin/python
    python benchmarks/segmentation_speed.py            ours alone

The peer is nnU-Net 2 (Isensee et al. 2021) with the 2D plan that it makes for ACDC (256 x 224 at
1.56 mm, seven levels, 32 to 512 channels) and random weights, which take as long as trained ones.
It lives in an environment of its own:

    python -m venv ENV && ENV/bin/pip install -c envs/constraints.txt nnunetv2

Both get the same frames of one simulated-size cine in memory (noise around a bright disc: what is
in the picture does not change the work of a network), both return labels on the grid of the scan,
resampling there and back included. They take turns, so that a busy machine is busy for both; the
ratio is of medians. Frames of the peer are fewer, its time is per slice. Times with flips average
over the four mirrorings, as nnU-Net does by default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.records import Scan
from popscan.segment import load_bundle
from popscan.segment.ensemble import Flips
from segmentation import FLIPS

ROOT = Path(__file__).resolve().parents[1]
SPACING_MM = (1.56, 1.56, 10.0)

#: Runs in the peer's interpreter: a line of JSON in, a line of JSON out.
PEER = r"""
import json, sys, time
import numpy as np, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

seg = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
data = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
prob = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
fn = "resample_data_or_seg_to_shape"
arch = {
    "n_stages": 7, "features_per_stage": [32, 64, 128, 256, 512, 512, 512],
    "conv_op": "torch.nn.modules.conv.Conv2d", "kernel_sizes": [[3, 3]] * 7,
    "strides": [[1, 1]] + [[2, 2]] * 5 + [[2, 1]], "n_conv_per_stage": [2] * 7,
    "n_conv_per_stage_decoder": [2] * 6, "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None,
    "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
}
plan = {
    "data_identifier": "x", "preprocessor_name": "DefaultPreprocessor", "batch_size": 58,
    "patch_size": [256, 224], "median_image_size_in_voxels": [237.0, 208.0],
    "spacing": [1.5625, 1.5625], "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False], "resampling_fn_data": fn, "resampling_fn_seg": fn,
    "resampling_fn_probabilities": fn, "resampling_fn_data_kwargs": data,
    "resampling_fn_seg_kwargs": seg, "resampling_fn_probabilities_kwargs": prob,
    "batch_dice": True,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": arch,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
}
plans = PlansManager({
    "dataset_name": "ACDC", "plans_name": "nnUNetPlans", "configurations": {"2d": plan},
    "original_median_spacing_after_transp": [10.0, 1.5625, 1.5625],
    "original_median_shape_after_transp": [9, 256, 216], "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
    "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": {}},
})
dataset = {
    "channel_names": {"0": "cine"}, "file_ending": ".nii.gz",
    "labels": {"background": 0, "rv": 1, "myo": 2, "lv": 3},
}
torch.set_num_threads(int(sys.argv[1]))
config = plans.get_configuration("2d")
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
network = get_network_from_plans(
    config.network_arch_class_name, config.network_arch_init_kwargs,
    config.network_arch_init_kwargs_req_import, 1, 4, deep_supervision=False).eval()
print(json.dumps({"parameters": sum(p.numel() for p in network.parameters())}), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    predictor = nnUNetPredictor(
        use_mirroring=ask["flips"], perform_everything_on_device=False,
        device=torch.device("cpu"), verbose=False, verbose_preprocessing=False, allow_tqdm=False)
    predictor.manual_initialization(
        network, plans, config, [network.state_dict()], dataset, "nnUNetTrainer", (0, 1))
    cine = np.load(ask["file"], allow_pickle=False)
    wall, cpu = time.perf_counter(), time.process_time()
    for frame in range(cine.shape[3]):
        volume = cine[..., frame].transpose(2, 1, 0)[None].astype(np.float32)
        labels = predictor.predict_single_npy_array(volume, {"spacing": ask["spacing"]})
        assert labels.shape == volume.shape[1:]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)
"""


def cine(*, seed: int, slices: int, frames: int, side: int = 216) -> np.ndarray:
    """Return a cine (x, y, z, t) of noise around a bright disc, int16."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    disc = 600.0 * (np.hypot(x - side / 2, y - side / 2) < 24)
    noise = rng.normal(300, 60, size=(side, side, slices, frames))
    return (noise + disc[..., None, None]).astype(np.int16)


class Peer:
    """nnU-Net in its own interpreter, asked one question at a time."""

    def __init__(self, python: str, threads: int) -> None:
        environment = os.environ | dict.fromkeys(
            ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), "/nonexistent"
        )
        environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [python, "-c", PEER, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.parameters = int(self._reply()["parameters"])

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit("the peer ended without an answer; see its message above")

    def run(self, file: Path, *, flips: bool) -> tuple[float, float]:
        """Return wall and CPU seconds for all frames of a file."""
        assert self.process.stdin is not None
        ask = {"file": str(file), "flips": flips, "spacing": SPACING_MM[::-1]}
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        reply = self._reply()
        return reply["wall"], reply["cpu"]

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def peer_of(python: str | None, threads: int) -> Iterator[Peer | None]:
    """Start and end the peer, if there is one."""
    peer = Peer(python, threads) if python else None
    try:
        yield peer
    finally:
        if peer is not None:
            peer.close()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--peer-python", default=None, help="interpreter that has nnunetv2")
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--peer-frames", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("cache"), help="folder for the cine")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bundle = load_bundle(arguments.model, "cpu")
    array = cine(seed=arguments.seed, slices=arguments.slices, frames=arguments.frames)
    scan = Scan(array=array, affine=np.diag([*SPACING_MM, 1.0]), spacing_mm=SPACING_MM)
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work.resolve() / "speed.npy"
    np.save(file, array[..., : arguments.peer_frames], allow_pickle=False)
    parameters = sum(p.numel() for n in bundle.networks for p in n.parameters())
    print(f"{bundle.name}: {len(bundle.networks)} member(s), {parameters:,} parameters")
    print(f"{arguments.slices} slices x {arguments.frames} frames, {arguments.threads} threads")
    with peer_of(arguments.peer_python, arguments.threads) as peer:
        if peer is not None:
            print(f"nnU-Net, 2D plan of ACDC: {peer.parameters:,} parameters")
        for flips in FLIPS.values():
            ours, theirs = [], []
            for _ in range(arguments.repeats):
                wall, cpu = time.perf_counter(), time.process_time()
                segment(scan, bundle=bundle, flips=flips)
                ours.append((time.perf_counter() - wall, time.process_time() - cpu))
                if peer is not None and isinstance(flips, bool):
                    theirs.append(peer.run(file, flips=flips))
            show(ours, theirs, flips=flips, arguments=arguments)
    file.unlink()


def show(
    ours: list[tuple[float, float]],
    theirs: list[tuple[float, float]],
    *,
    flips: Flips,
    arguments: argparse.Namespace,
) -> None:
    """Print medians per slice and their ratios."""
    n, m = arguments.slices * arguments.frames, arguments.slices * arguments.peer_frames
    wall, cpu = (statistics.median(column) for column in zip(*ours, strict=True))
    print(f"\n== flips: {flips} ==")
    print(
        f"popscan   {wall / n * 1e3:7.1f} ms/slice, CPU {cpu / n * 1e3:7.1f}; {wall:.1f} s/subject"
    )
    if theirs:
        their_wall, their_cpu = (statistics.median(c) for c in zip(*theirs, strict=True))
        print(f"nnU-Net   {their_wall / m * 1e3:7.1f} ms/slice, CPU {their_cpu / m * 1e3:7.1f}")
        ratio, cpu_ratio = their_wall / m / (wall / n), their_cpu / m / (cpu / n)
        print(f"ratio     {ratio:.1f} times its throughput; CPU time {cpu_ratio:.1f} times less")


if __name__ == "__main__":
    sys.exit(main())
