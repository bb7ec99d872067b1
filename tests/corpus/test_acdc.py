"""ACDC's own layout: Info.cfg and frames that are odd or missing."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

INFO = "ED: 1\nES: 3\nGroup: DCM\nHeight: 172.0\nNbFrame: 8\nWeight: 80.0\n"


@pytest.fixture
def patient(tmp_path) -> Path:
    folder = tmp_path / "raw" / "patient007"
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(INFO)
    rng = np.random.default_rng(0)
    for frame in (1, 3):
        stem = folder / f"patient007_frame{frame:02d}"
        image = rng.integers(0, 900, (6, 7, 4)).astype(np.int16)
        label = np.zeros((6, 7, 4), np.uint8)
        label[2:4, 2:4] = 3
        nib.Nifti1Image(image, np.diag([-1.5, -1.5, 10.0, 1.0])).to_filename(f"{stem}.nii.gz")
        nib.Nifti1Image(label, np.diag([-1.5, -1.5, 10.0, 1.0])).to_filename(f"{stem}_gt.nii.gz")
    return folder


def test_the_healthy_one_is_read(patient, ingest):
    values = ingest("acdc", patient).value.values
    assert (values["n_slices"], values["n_frames"], values["group"]) == (4, 2, "DCM")
    assert (values["height_cm"], values["weight_kg"]) == (172.0, 80.0)


@pytest.mark.parametrize("key", ["ED", "ES", "NbFrame"])
@pytest.mark.parametrize(
    "value", ["", "0", "-1", "x", "1.0", "1e3", "99", "1 2", "９", "9" * 5000, "None", "\ud800"]
)
def test_number_of_a_frame(patient, ingest, key, value):
    lines = [f"{key}: {value}" if line.startswith(key) else line for line in INFO.splitlines()]
    (patient / "Info.cfg").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    ended = ingest("acdc", patient)
    assert ended.reason in {"", "bad_info", "file_missing"}, ended


@pytest.mark.parametrize("key", ["Height", "Weight", "Group"])
@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "1e999", "x", "172,0", "9" * 5000])
def test_fact_about_the_subject(patient, ingest, key, value):
    lines = [f"{key}: {value}" if line.startswith(key) else line for line in INFO.splitlines()]
    (patient / "Info.cfg").write_text("\n".join(lines))
    ended = ingest("acdc", patient)
    assert not ended.refused
    for column in ("height_cm", "weight_kg"):
        number = ended.value.values[column]
        assert np.isnan(number) or 0 < number < 1e6


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 50, b"\xff\xfeE\0D\0", b"ED 1\nES 3\n", b"ED: 1\n", b"ED: 1\nED: 2\nES: 3\n",
     b"ed:1\r\nes:3\r\n", b"ED: 1\nES: 1\n", b"x" * 10**7],
    ids=range(9),
)  # fmt: skip
def test_info_of_another_kind(patient, ingest, data):
    (patient / "Info.cfg").write_bytes(data)
    assert ingest("acdc", patient).reason in {"", "bad_info"}


@pytest.mark.parametrize("name", ["Info.cfg", "_frame01.nii.gz", "_frame03.nii.gz"])
def test_missing_file(patient, ingest, name):
    (patient / (name if name == "Info.cfg" else f"patient007{name}")).unlink()
    assert ingest("acdc", patient).reason in {"info_missing", "file_missing"}


@pytest.mark.parametrize("shape", [(6, 7, 5), (7, 6, 4), (6, 7, 4, 2), (6, 7)])
@pytest.mark.parametrize("what", ["frame03", "frame03_gt"])
def test_frames_of_different_shape(patient, ingest, what, shape):
    path = patient / f"patient007_{what}.nii.gz"
    array = np.arange(np.prod(shape)).reshape(shape) % 3
    nib.Nifti1Image(array.astype(np.uint8), np.diag([-1.5, -1.5, 10.0, 1.0])).to_filename(path)
    ingest("acdc", patient)
