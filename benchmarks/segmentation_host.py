"""What of segmentation no GPU takes over: CPU seconds per subject, NIfTI to NIfTI.

    python benchmarks/segmentation_host.py

On a GPU the networks, the resampling there and back, uncertainties and labels of every batch are
the device's work (all that happens within ``in_batches`` of `popscan.segment.ensemble`). What is
left for the processor is measured here: reading and inflating the cine, grey values' percentiles,
the search for islands and impossible slices, the numbers for the table, writing the labels. It
bounds what a node can do however fast its GPU is: cores / seconds. On a machine without GPU the
device's part runs on the CPU too and is reported separately, not left out.

The peer is nibabel reading the same file and writing the same labels, nothing else done.
The cine is a simulated beating heart with noise, so that files shrink as little and hearts come in
as many pieces as in life.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from popscan.io.nifti import read_scan, write_labels, write_scan
from popscan.protocols.cine_sax.segmentation import inference
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import LabelMap, Scan
from popscan.segment import ensemble, load_bundle

ROOT = Path(__file__).resolve().parents[1]


def heart(*, seed: int, frames: int, side: int) -> Scan:
    """Return a simulated cine (side, side, z, frames) of int16."""
    row = {str(k): v for k, v in sample_population(1, seed=seed).iloc[0].items()}
    made = simulate_subject(
        row,
        seed=seed,
        kspace=False,
        matrix=(side, side),
        spacing_mm=(1.6, 1.6),
        frames=10,
        slice_distance_mm=10.0,
        slice_thickness_mm=8.0,
        noise=0.05,
        fine=(1, 1),
    ).scan
    # Ten frames stand for the cycle; noise makes each of the copies a frame of its own.
    array = np.repeat(made.array.astype(np.float32), -(-frames // 10), axis=3)[..., :frames]
    array *= 1000.0 / np.percentile(array[..., 0], 99)
    array += np.random.default_rng(seed).normal(0, 15, array.shape).astype(np.float32)
    return replace(made, array=array.astype(np.int16), frame_times_ms=None, meta={})


@contextmanager
def device_work(spent: list[float]) -> Iterator[None]:
    """Note the CPU seconds of what a GPU would do."""
    plain = ensemble.in_batches

    def timed(*args: Any, **options: Any) -> None:
        began = time.process_time()
        plain(*args, **options)
        spent.append(time.process_time() - began)

    ensemble.in_batches = timed
    try:
        yield
    finally:
        ensemble.in_batches = plain


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "resources" / "models" / "cine_sax")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--side", type=int, default=216, help="pixels along x and y")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=16, help="of the node to extend to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(arguments.model, "cpu")
    scan = heart(seed=arguments.seed, frames=arguments.frames, side=arguments.side)
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scan(folder / "cine.nii.gz", scan)
        size = (folder / "cine.nii.gz").stat().st_size / 1e6
        print(f"cine {scan.array.shape}, {size:.0f} MB on disk")
        for _ in range(arguments.repeats):
            rows.append(once(folder, bundle))
    middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    for key, value in middle.items():
        print(f"{key:38s} {value:6.3f} CPU s")
    host = middle["read"] + middle["percentiles, islands, numbers"] + middle["write"]
    print(f"\nhost, per subject of {scan.array.shape[2]} slices: {host:.2f} CPU s")
    print(f"{arguments.cores} cores like these: at most {arguments.cores / host:.0f} subjects/s")


def once(folder: Path, bundle: Any) -> dict[str, float]:
    """Segment once from disk to disk; return CPU seconds of each part."""
    spent: list[float] = []
    marks = [time.process_time()]
    scan = read_scan(folder / "cine.nii.gz")
    marks.append(time.process_time())
    with device_work(spent):
        found = inference.segment(scan, bundle=bundle)
    marks.append(time.process_time())
    assert found.labels.any(), "no heart was found"
    frames = tuple(range(found.labels.shape[3]))
    write_labels(folder / "labels.nii.gz", LabelMap(array=found.labels, frames=frames), scan)
    marks.append(time.process_time())
    image = nib.load(folder / "cine.nii.gz")
    np.asanyarray(image.dataobj)
    marks.append(time.process_time())
    nib.save(nib.Nifti1Image(found.labels, scan.affine), folder / "peer.nii.gz")
    marks.append(time.process_time())
    read, work, write, peer_read, peer_write = np.diff(marks).tolist()
    return {
        "read": read,
        "percentiles, islands, numbers": work - sum(spent),
        "write": write,
        "(networks and what goes with them)": sum(spent),
        "(nibabel: read alone)": peer_read,
        "(nibabel: write alone)": peer_write,
    }


if __name__ == "__main__":
    sys.exit(main())
