"""What an atlas costs as it grows, beside ANTs' template building, and how sharp it is.

    python benchmarks/atlas.py [--sizes 8 32 64] [--peer-python ENV/bin/python] [--peer-subjects 4]

Real hearts of ACDC (end-diastole, expert labels) in the heart's frame at 3 mm. Every subject is
prepared once; what is measured is one round on one thread: register all to the template of the
round before, sum, average. Linear means that the time per subject stays. The peer builds a template
of a few of the same subjects from the same images (``ants.build_template``, SyN, one iteration), in
an interpreter of its own. Both are judged on these subjects: gradient energy of the mean image
within the heart (sharper is higher), time per subject and iteration, and label overlap: the mean
Dice of each subject's labels, registered to the template that was built, with those of the average.
The peer registers by SyN for that, which its time does not count. Times are CPU seconds, since
other programs may run beside.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.atlas import ALL, AtlasGrid, Prepared, Template, map_subjects, measures, reduce
from popscan.protocols.cine_sax import PROTOCOL
from popscan.protocols.cine_sax.atlas import heart_grid, prepare
from popscan.records import SubjectError
from registration import DATA, read_patient

assert PROTOCOL.atlas is not None
REGIONS = PROTOCOL.atlas.regions
SMOOTHING_MM = PROTOCOL.atlas.smoothing_mm
Subjects = list[tuple[str, list[str], Prepared]]
#: Runs in the peer's interpreter: images in, template and seconds out.
_PEER = """
import sys, time
import ants, numpy as np
stored = np.load(sys.argv[1])
spacing = stored["spacing_mm"].tolist()
images = [ants.from_numpy(array, spacing=spacing) for array in stored["images"]]
start = images[0] * 0
for image in images:
    start = start + image / len(images)
started = time.process_time()
template = ants.build_template(initial_template=start, image_list=images, iterations=1)
seconds = time.process_time() - started
warped = []
for image, labels in zip(images, stored["labels"]):
    found = ants.registration(template, image, type_of_transform="SyN")
    warped.append([
        ants.apply_transforms(template, ants.from_numpy(one, spacing=spacing),
                              found["fwdtransforms"]).numpy()
        for one in labels
    ])
np.savez(sys.argv[2], template=template.numpy(), seconds=seconds, labels=np.array(warped))
"""


def prepared(grid: AtlasGrid, n: int) -> Subjects:
    """Prepare the first n patients that fit the grid."""
    subjects: Subjects = []
    for folder in sorted((DATA / "acdc").glob("patient*")):
        if len(subjects) == n:
            break
        phase = read_patient(folder)["ED"]
        affine = np.diag([*phase.spacing_mm, 1.0])
        try:
            one = prepare(
                phase.image, phase.labels, affine=affine, spacing_mm=phase.spacing_mm, grid=grid
            )
        except SubjectError:
            continue
        subjects.append((folder.name, [], one))
    return subjects


def sharpness(image: NDArray, organ: NDArray[np.bool_]) -> float:
    """Mean squared gradient per voxel within the organ."""
    slopes = np.gradient(np.nan_to_num(image))
    return float(np.sum([slope**2 for slope in slopes], axis=0)[organ].mean())


def one_round(
    subjects: Subjects, template: Template, method: str
) -> tuple[Template, float, float, float]:
    """Register, sum and average; seconds, mean Dice and least volume change with the template."""
    started = time.process_time()
    sums = map_subjects(
        subjects, template, regions=REGIONS, method=method, smoothing_mm=SMOOTHING_MM
    )
    following = reduce([sums], template)[ALL]
    seconds = time.process_time() - started
    names = list(measures([region.name for region in REGIONS]))
    overlap = float(np.nanmean(sums.values[:, : len(REGIONS)]))
    return following, seconds, overlap, float(sums.values[:, names.index("min_jacobian")].min())


def label_overlap(labels: NDArray[np.float32]) -> float:
    """Return the mean Dice of warped memberships (n, regions, x, y, z) with their average's."""
    mine, average = labels > 0.5, labels.mean(axis=0) > 0.5
    both = (mine & average).sum(axis=(2, 3, 4))
    return float((2 * both / (mine.sum(axis=(2, 3, 4)) + average.sum(axis=(1, 2, 3)))).mean())


def peer(python: str, subjects: Subjects) -> tuple[NDArray[np.float32], float, float]:
    """Return the peer's template, seconds per subject and iteration, and label overlap."""
    images = np.stack([one.image for _, _, one in subjects])
    labels = np.stack([one.labels for _, _, one in subjects])
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("images.npz", "template.npz")]
        np.savez(files[0], images=images, labels=labels, spacing_mm=subjects[0][2].grid.spacing)
        subprocess.run(
            [python, "-c", _PEER, *files], check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"},
        )  # fmt: skip
        with np.load(files[1], allow_pickle=False) as stored:
            seconds = float(stored["seconds"]) / len(subjects)
            return stored["template"], seconds, label_overlap(stored["labels"])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument("--methods", nargs="*", default=["demons"])
    parser.add_argument("--spacing-mm", type=float, default=3.0)
    parser.add_argument("--peer-python", default=None, help="interpreter that has antspyx")
    parser.add_argument("--peer-subjects", type=int, default=4)
    arguments = parser.parse_args()
    grid = heart_grid(spacing_mm=arguments.spacing_mm)
    subjects = prepared(grid, max(*arguments.sizes, arguments.peer_subjects))
    print("method    subjects  CPU s per subject  Dice with template  least volume change")
    for method in arguments.methods:
        for n in arguments.sizes:
            template = reduce([map_subjects(subjects[:n], None, regions=REGIONS)])[ALL]
            template, *_ = one_round(subjects[:n], template, method)
            _, seconds, overlap, least = one_round(subjects[:n], template, method)
            print(f"{method:8s}  {n:8d}  {seconds / n:17.2f}  {overlap:18.3f}  {least:19.3f}")
    if arguments.peer_python:
        few = subjects[: arguments.peer_subjects]
        rigid = reduce([map_subjects(few, None, regions=REGIONS)])[ALL]
        organ = rigid.probabilities.sum(axis=0) > 0.5
        ours, seconds, *_ = one_round(few, rigid, arguments.methods[0])
        _, _, dice, _ = one_round(few, ours, arguments.methods[0])
        theirs, their_seconds, their_dice = peer(arguments.peer_python, few)
        before = label_overlap(np.stack([one.labels for _, _, one in few]))
        print(
            f"\n{len(few)} subjects, one iteration: CPU s per subject, gradient energy of the mean,"
        )
        print("label overlap after registration to it")
        print(f"rigid mean            -   {sharpness(rigid.image, organ):.4f}   {before:.3f}")
        print(
            f"popscan  {seconds / len(few):10.2f}   {sharpness(ours.image, organ):.4f}   {dice:.3f}"
        )
        print(f"ANTs     {their_seconds:10.2f}   {sharpness(theirs, organ):.4f}   {their_dice:.3f}")


if __name__ == "__main__":
    main()
