"""Registration of hearts beside ANTs SyN and SimpleITK: accuracy, plausibility and time.

    python benchmarks/registration.py --peer-python ENV/bin/python [--n 10] [--threads 2]
    python benchmarks/registration.py --only 0 4 --out part.tsv   # pairs 0 to 3 of each task
    python benchmarks/registration.py --read part.tsv more.tsv

Patients of ACDC that no setting was chosen on: those that the shipped segmentation names for
validation (``--part training`` takes the others, on which the defaults of `svf` were chosen).

- motion: end-systole onto end-diastole, 160 x 160 crops of 1.5 mm around the middle of the image,
  slices as they are.
- between: end-diastole of the next patient onto this one's, both in the heart's own frame
  (landmarks of expert labels: centre, long axis, direction of the RV), 96 x 96 x 14 voxels of
  1.5 x 1.5 x 8 mm.

No method sees a label. `popscan.register.measures` measures all of them, the peer included: Dice of
RV, myocardium and LV, 95th percentile surface distance, spread of log-Jacobian, share of folds,
mean over the worst 30%, and seconds of wall and of CPU time per pair, one pair at a time (the
peer's without its start). ``wall_change`` is the mean of |J - 1| over the fixed image's myocardium:
how far the wall is from keeping its area or volume. SyN runs in an
interpreter of its own (``pip install antspyx``); without one it is left out. Whether `bayesian`
knows how far off it is, `benchmarks/registration_uncertainty.py` measures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.intensity import black_and_white
from popscan.protocols.cine_sax.crops import heart_crop
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.register import Warp, register
from popscan.register.crops import CropGrid
from popscan.register.measures import measure_pairs, summarise
from popscan.segment import load_bundle

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
DATA = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
NAMES = {int(label): name for label, name in STRUCTURES.items()}
SIDE, INPLANE_MM = 160, 1.5
GRID = CropGrid(shape=(96, 96, 14), spacing_mm=(1.5, 1.5, 8.0), centre_mm=(-18.0, 0.0, 0.0))
#: Variants of the methods; of SyN, its numbers of iterations per level.
VARIANTS: dict[str, dict[str, object]] = {
    "affine": {"method": "affine"},
    "demons": {"method": "demons"},
    "ffd": {"method": "ffd"},
    "svf": {"method": "svf"},
    "svf, in plane": {"method": "svf", "in_plane": True},
    "bayesian, in plane": {"method": "bayesian", "in_plane": True},
    "svf, squares": {"method": "svf", "distance": "mse", "stiffness": 0.01},
    "biomechanics": {"method": "biomechanics", "model": "biomechanics"},
    "voxelmorph": {"method": "voxelmorph", "model": "motion_cine"},
    "gradirn": {"method": "gradirn", "model": "motion_gradirn"},
    "vr_net": {"method": "vr_net", "model": "motion_vr_net"},
}
SYN = {"ANTs SyN": (40, 20, 0), "ANTs SyN, slower": (100, 70, 20)}
#: Runs in the peer's interpreter: pairs in, displacements in mm and seconds out.
_PEER = """
import sys, time
import ants, numpy as np
pairs = np.load(sys.argv[1])
iterations = tuple(int(n) for n in sys.argv[3].split(","))
spacing = pairs["spacing_mm"].tolist()
images = [ants.from_numpy(pairs[name], spacing=spacing) for name in ("fixed", "moving")]
started, cpu = time.perf_counter(), time.process_time()
result = ants.registration(*images, type_of_transform="SyNOnly", reg_iterations=iterations,
                           random_seed=1)
seconds = time.perf_counter() - started, time.process_time() - cpu
field = ants.image_read(result["fwdtransforms"][0]).numpy()
np.savez(sys.argv[2], field=field, seconds=seconds)
"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images on one grid, with labels that only the measures see."""

    task: str
    name: str
    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    fixed_labels: NDArray[np.uint8]
    moving_labels: NDArray[np.uint8]
    spacing_mm: tuple[float, ...]


#: Seconds of the clock and of the processor.
Seconds = tuple[float, float]
#: Registers a pair, and says in how many seconds.
Method = Callable[[Pair], tuple[Warp, Seconds]]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A labelled frame as it lies in the file."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]


def read_patient(folder: Path) -> dict[str, Phase]:
    """Read both labelled frames."""
    lines = (folder / "Info.cfg").read_text().splitlines()
    info = dict(line.split(": ") for line in lines if line)
    phases = {}
    for phase in ("ED", "ES"):
        stem = f"{folder.name}_frame{int(info[phase]):02d}"
        image = nibabel.load(folder / f"{stem}.nii.gz")
        labels = np.asarray(nibabel.load(folder / f"{stem}_gt.nii.gz").dataobj)
        x, y, z = (float(s) for s in image.header.get_zooms()[:3])
        phases[phase] = Phase(
            image=np.asarray(image.dataobj, dtype=np.float32),
            labels=labels.astype(np.uint8),
            spacing_mm=(x, y, z),
        )
    return phases


def middle(array: NDArray, spacing_mm: tuple[float, ...], *, order: int) -> NDArray:
    """Resample the middle of each slice."""
    offsets = (np.arange(SIDE) - (SIDE - 1) / 2) * INPLANE_MM
    lines = [
        (n - 1) / 2 + offsets / s for n, s in zip(array.shape[:2], spacing_mm[:2], strict=True)
    ]
    points = np.meshgrid(*lines, np.arange(array.shape[2]), indexing="ij")
    return ndimage.map_coordinates(array, points, order=order, mode="nearest")


def motion(name: str, patient: dict[str, Phase]) -> Pair:
    """End-systole onto end-diastole."""
    ed, es = patient["ED"], patient["ES"]
    low, high = black_and_white(ed.image)
    images = [
        np.clip((middle(p.image, p.spacing_mm, order=1) - low) / (high - low), -0.5, 2)
        for p in (ed, es)
    ]
    return Pair(
        task="motion", name=name,
        fixed=images[0].astype(np.float32), moving=images[1].astype(np.float32),
        fixed_labels=middle(ed.labels, ed.spacing_mm, order=0),
        moving_labels=middle(es.labels, es.spacing_mm, order=0),
        spacing_mm=(INPLANE_MM, INPLANE_MM, ed.spacing_mm[2]),
    )  # fmt: skip


def between(name: str, one: Phase, other: Phase) -> Pair:
    """Another patient onto this one."""
    crops = [
        heart_crop(p.image, p.labels, spacing_mm=p.spacing_mm, grid=GRID) for p in (one, other)
    ]
    return Pair(
        task="between", name=name, fixed=crops[0].image, moving=crops[1].image,
        fixed_labels=crops[0].labels, moving_labels=crops[1].labels, spacing_mm=GRID.spacing_mm,
    )  # fmt: skip


def pairs_of(data: Path, part: str, n: int, only: tuple[int, int]) -> Iterator[Pair]:
    """Yield the pairs of both tasks, of the patients `only[0]` to `only[1] - 1` of the first n."""
    held_out = set(load_bundle(SHIPPED).about["validation"]["subjects"])
    folders = [
        f for f in sorted((data / "acdc").glob("patient*"))
        if (f.name in held_out) == (part == "validation")
    ][:n]  # fmt: skip
    for place in range(*only)[: len(folders)]:
        name, patient = folders[place].name, read_patient(folders[place])
        yield motion(name, patient)
        following = read_patient(folders[(place + 1) % len(folders)])
        yield between(name, patient["ED"], following["ED"])


def own(variant: dict[str, object]) -> Method:
    """Return a function that registers a pair by one of popscan's methods and takes the time."""

    def run(pair: Pair) -> tuple[Warp, Seconds]:
        started, cpu = time.perf_counter(), time.process_time()
        warp = register(pair.fixed[None], pair.moving[None], spacing_mm=pair.spacing_mm, **variant)  # type: ignore[arg-type]
        return warp, (time.perf_counter() - started, time.process_time() - cpu)

    return run


def syn(python: str, iterations: tuple[int, ...], threads: int) -> Method:
    """Return a function that registers a pair by SyN in the peer's interpreter."""

    def run(pair: Pair) -> tuple[Warp, Seconds]:
        with tempfile.TemporaryDirectory() as folder:
            files = [str(Path(folder) / name) for name in ("pairs.npz", "field.npz")]
            np.savez(files[0], fixed=pair.fixed, moving=pair.moving, spacing_mm=pair.spacing_mm)
            subprocess.run(
                [python, "-c", _PEER, *files, ",".join(map(str, iterations))],
                check=True, stdout=subprocess.DEVNULL,
                env={**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)},
            )  # fmt: skip
            with np.load(files[1], allow_pickle=False) as found:
                field, (wall, cpu) = found["field"], found["seconds"].tolist()
        return Warp(displacement_mm=field[None], spacing_mm=pair.spacing_mm), (wall, cpu)

    return run


def still(pair: Pair) -> tuple[Warp, Seconds]:
    """Move nothing."""
    return Warp.identity(1, pair.fixed.shape, spacing_mm=pair.spacing_mm), (0.0, 0.0)


def wall_change(warp: Warp, pair: Pair) -> float:
    """Return the mean of |J - 1| over the fixed image's myocardium."""
    wall = pair.fixed_labels == Label.MYO
    return float(np.abs(np.asarray(warp.jacobian())[0][wall] - 1).mean())


def measured(arguments: argparse.Namespace) -> pd.DataFrame:
    """Register all pairs by all methods and return a row for each."""
    methods: dict[str, Method] = {"none": still}
    if arguments.peer_python:
        methods |= {
            name: syn(arguments.peer_python, steps, arguments.threads)
            for name, steps in SYN.items()
        }
    methods |= {name: own(variant) for name, variant in VARIANTS.items()}
    if arguments.methods:
        methods = {name: run for name, run in methods.items() if name in arguments.methods}
    first, last = arguments.only or (0, arguments.n)
    rows = []
    for pair in pairs_of(arguments.data, arguments.part, arguments.n, (first, last)):
        for name, run in methods.items():
            warp, (seconds, cpu) = run(pair)
            row = measure_pairs(
                warp, fixed_labels=pair.fixed_labels[None], moving_labels=pair.moving_labels[None],
                structures=NAMES, seconds=seconds,
            )  # fmt: skip
            rows.append(
                row.assign(
                    task=pair.task,
                    method=name,
                    pair=pair.name,
                    cpu_seconds=cpu,
                    wall_change=wall_change(warp, pair),
                )
            )
            if arguments.out is not None:
                pd.concat(rows).to_csv(arguments.out, sep="\t", index=False)
        print(".", end="", flush=True, file=sys.stderr)
    return pd.concat(rows)


def main() -> None:
    """Print one table per task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--part", choices=("validation", "training"), default="validation")
    parser.add_argument("--n", type=int, default=14, help="patients")
    parser.add_argument("--only", type=int, nargs=2, default=None, help="a range of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", default=None, help="interpreter that has antspyx")
    parser.add_argument("--methods", nargs="*", default=None, help="of the rows, in part")
    parser.add_argument("--out", type=Path, default=None, help="table of the pairs")
    parser.add_argument("--read", type=Path, nargs="*", default=(), help="tables of earlier runs")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.read:
        rows = pd.concat([pd.read_csv(path, sep="\t") for path in arguments.read])
    else:
        rows = measured(arguments)
    extra = rows.groupby(["task", "method"], sort=False)[["cpu_seconds", "wall_change"]].mean()
    table = summarise(rows, by=("task", "method")).set_index(["task", "method"])
    table[extra.columns] = extra
    columns = ["n_pairs", "dice", *(f"dice_{n}" for n in NAMES.values()), "robust_dice", "hd95_mm",
               "sd_log_jacobian", "worst_folding_share", "wall_change", "seconds", "cpu_seconds",
               ]  # fmt: skip
    for task, shown in table.groupby(level="task", sort=False):
        print(f"\n{task}, {arguments.threads} threads")
        print(shown.droplevel("task")[columns].to_string(float_format=lambda v: f"{v:.4g}"))


if __name__ == "__main__":
    main()
