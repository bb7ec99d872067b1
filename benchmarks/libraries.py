"""Kept libraries beside popscan's own code for the same thing: difference, and CPU time.

    pip install kornia pandera filelock
    OMP_NUM_THREADS=1 python benchmarks/libraries.py

- fields: composition and Jacobian determinant of displacement fields, beside SimpleITK.
- augmentation: what a batch of slices goes through in training, beside kornia with the nearest
  transforms that it has for the same probabilities.
- tables: the check of a written table of 100,000 rows, beside a pandera schema of its columns.
- lock: taking and releasing the lock of a study, beside filelock.

Rows whose library is not installed are left out. docs/decisions.md says what was decided.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch

from popscan.columns import Column
from popscan.lock import StudyLock
from popscan.register.fields import compose_fields, jacobian_determinant
from popscan.study.tables import refuse_undescribed
from popscan.train.augment import augment
from popscan.train.augmentation import Augmentation

SPACING = (1.5, 1.5, 5.0)


def cpu_ms(call: Callable[[], object], *, repeats: int = 5) -> float:
    """Least CPU time of several calls, in ms."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def import_ms(name: str) -> float:
    """CPU time by which importing a package lengthens a process that has pandas and torch."""
    code = (
        "import time, pandas, torch; start = time.process_time(); "
        f"import {name}; print(time.process_time() - start)"
    )
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(3)
    ]
    return 1000 * min(times)


def smooth_field(seed: int) -> np.ndarray:
    """Return a field of some mm on 96 x 96 x 12 voxels that vanishes at the border."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(0, np.pi, n) for n in (96, 96, 12)), indexing="ij")
    window = np.prod([np.sin(axis) ** 2 for axis in axes], axis=0)
    waves = [np.cos(axes[0] * rng.uniform(1, 3) + axes[1] * rng.uniform(1, 3)) for _ in range(3)]
    return np.stack([4.0 * window * wave for wave in waves], axis=-1)


def itk_field(field: np.ndarray) -> sitk.Image:
    """Return SimpleITK's image of a field: axes reversed, vectors last."""
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(np.moveaxis(field, (0, 1, 2), (2, 1, 0))), isVector=True
    )
    image.SetSpacing(SPACING)
    return image


def itk_array(image: sitk.Image) -> np.ndarray:
    """Return the array of an image with axes x, y, z."""
    return np.moveaxis(sitk.GetArrayFromImage(image), (0, 1, 2), (2, 1, 0))


def itk_compose(first: sitk.Image, second: sitk.Image) -> np.ndarray:
    """Return the composed field: through `first`, then through `second`."""
    transform = sitk.CompositeTransform(
        [
            sitk.DisplacementFieldTransform(sitk.Image(second)),
            sitk.DisplacementFieldTransform(sitk.Image(first)),
        ]
    )
    made = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, first.GetSize(), first.GetOrigin(), first.GetSpacing()
    )
    return itk_array(made)


def fields() -> None:
    first, second = smooth_field(1), smooth_field(2)
    images = itk_field(first), itk_field(second)
    ours = compose_fields(first, second, spacing_mm=SPACING)
    theirs = itk_compose(*images)
    inside = (slice(1, -1),) * 3
    row(
        "composition",
        "SimpleITK",
        f"{np.abs(ours - theirs)[inside].max():.1e} mm",
        cpu_ms(lambda: compose_fields(first, second, spacing_mm=SPACING)),
        cpu_ms(lambda: itk_compose(*images)),
    )
    ours = jacobian_determinant(first, spacing_mm=SPACING)
    theirs = itk_array(sitk.DisplacementFieldJacobianDeterminant(images[0]))
    row(
        "Jacobian, inside",
        "SimpleITK",
        f"{np.abs(ours - theirs)[inside].max():.1e}",
        cpu_ms(lambda: jacobian_determinant(first, spacing_mm=SPACING)),
        cpu_ms(lambda: sitk.DisplacementFieldJacobianDeterminant(images[0])),
    )
    # A field that grows towards the border: there the two differ.
    stretch = np.zeros_like(first)
    stretch[..., 0] = 0.1 * SPACING[0] * np.arange(96)[:, None, None]
    ours = jacobian_determinant(stretch, spacing_mm=SPACING)
    theirs = itk_array(sitk.DisplacementFieldJacobianDeterminant(itk_field(stretch)))
    border = f"popscan {ours[0].mean():.3f}, SimpleITK {theirs[0].mean():.3f}"
    print(f"  a stretch by 1.1, at the border: {border}")


def augmentation() -> None:
    if not find_spec("kornia"):
        return
    import kornia.augmentation as K

    how = Augmentation()
    images, labels = torch.rand(16, 3, 224, 224), torch.randint(0, 4, (16, 224, 224))
    pipeline = K.AugmentationSequential(
        K.RandomAffine(30.0, (0.08, 0.08), (0.7, 1.4), 6.0, p=1.0),
        K.RandomHorizontalFlip(p=0.5),
        K.RandomVerticalFlip(p=0.5),
        K.RandomElasticTransform(p=0.3),
        K.RandomGamma((0.6, 1.7), p=0.4),
        K.RandomContrast((0.6, 1.5), p=0.4),
        K.RandomGaussianNoise(0.0, 0.08, p=0.3),
        K.RandomGaussianBlur((5, 5), (0.4, 1.4), p=0.2),
        data_keys=["input", "mask"],
    )
    generator = torch.Generator().manual_seed(1)
    row(
        "augmentation, 16 x 3 x 224^2",
        "kornia",
        "-",
        cpu_ms(lambda: augment(images, labels, how=how, patch=192, generator=generator)),
        cpu_ms(lambda: pipeline(images, labels[:, None].float())),
    )
    print(f"  import: {import_ms('kornia'):.0f} ms")


def tables() -> None:
    if not find_spec("pandera"):
        return
    import pandera.pandas as pa

    rng = np.random.default_rng(1)
    table = pd.DataFrame({f"c{i}": rng.normal(size=100_000) for i in range(60)})
    described = {name: Column("mL", "a volume") for name in table}
    schema = pa.DataFrameSchema(
        {name: pa.Column(float, nullable=True) for name in table}, strict=True
    )
    row(
        "check of a table, 100,000 x 60",
        "pandera",
        "-",
        cpu_ms(lambda: refuse_undescribed("t", list(table), described)),
        cpu_ms(lambda: schema.validate(table)),
    )
    print(f"  import: {import_ms('pandera.pandas'):.0f} ms")


def lock() -> None:
    if not find_spec("filelock"):
        return
    import filelock

    with tempfile.TemporaryDirectory() as folder:

        def ours() -> None:
            for _ in range(200):
                StudyLock(Path(folder)).acquire()

        def theirs() -> None:
            for _ in range(200):
                with filelock.FileLock(Path(folder) / "other"):
                    pass

        row("lock, 200 times", "filelock", "-", cpu_ms(ours), cpu_ms(theirs))
    print(f"  import: {import_ms('filelock'):.0f} ms")


def row(what: str, peer: str, difference: str, ours: float, theirs: float) -> None:
    """Print one comparison."""
    print(f"{what:32s}{peer:12s}{difference:>12s}  CPU popscan / {peer} {ours / theirs:.3g}")


if __name__ == "__main__":
    fields()
    augmentation()
    tables()
    lock()
