"""NIfTI as converters, other programs and people leave it: the right value, or said why not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from popscan.io import get_source, read_scan
from popscan.io.nifti import read_labels
from popscan.io.references import checked_reference, read_reference, usable_references
from popscan.protocols.cine_sax.biomarkers.rate import heart_rate_bpm
from popscan.protocols.cine_sax.coding import likely_codes
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc import check
from popscan.records import LabelMap, Scan, Subject, SubjectError
from popscan.stages.ingest.task import _ingest_outcome

SHAPE = (24, 22, 6, 8)
STEPS = (1.3, 1.25, 8.0)


def oblique() -> np.ndarray:
    """RAS affine of an ordinary short-axis stack, in the defined orientation."""
    row = np.array([0.7, 0.7, 0.0]) / np.linalg.norm([0.7, 0.7, 0.0])
    apex = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
    column = np.cross(apex, row)
    column = column if column[2] < 0 else -column
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row, column, apex], axis=1) * np.array([[-1], [-1], [1]]) * STEPS
    affine[:3, 3] = 60, 50, 40
    return affine


AFFINE = oblique()


@pytest.fixture(scope="module")
def heart() -> tuple[np.ndarray, np.ndarray]:
    """Cine of a beating ring with a right ventricle beside it, and its labels at frames 0 and 3."""
    x, y = np.indices(SHAPE[:2])
    labels = np.zeros(SHAPE, np.uint8)
    for t in range(SHAPE[3]):
        radius = 4.5 - 0.3 * (3 - abs(3 - t))
        from_lv = np.hypot(x - 14, y - 11)
        labels[(np.hypot(x - 6, y - 11) < 4) & (from_lv > 6), :, t] = Label.RV
        labels[from_lv <= 6, :, t] = Label.MYO
        labels[from_lv <= radius, :, t] = Label.LV
    noise = np.random.default_rng(5).integers(0, 20, SHAPE)
    image = (np.array([60, 300, 120, 320])[labels] + noise).astype(np.int16)
    labels[..., [1, 2, 4, 5, 6, 7]] = 0
    return image, labels


def save(
    path: Path,
    array: np.ndarray,
    *,
    affine: np.ndarray = AFFINE,
    step: float | None = None,
    units: tuple[str | None, str | None] = ("mm", "sec"),
    header: dict[str, Any] | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units(*units)
    if step is not None:
        image.header["pixdim"][4] = step
    data = bytearray(image.to_bytes())
    if header:
        read = nib.Nifti1Header(bytes(data[:348]), check=False)
        for key, value in header.items():
            read[key] = value
        data[:348] = read.binaryblock
    whole = gzip.compress(bytes(data)) if path.name.lower().endswith(".gz") else bytes(data)
    path.write_bytes(whole)
    return path


def ingest(folder: Path, **options: Any) -> tuple[Scan, LabelMap | None, dict[str, Any], str]:
    """What the stage makes of a subject's folder: scan, reference, values, message."""
    codes = options.pop("codes", None)
    derived = sorted(str(p) for p in folder.parent.glob(f"derivatives/*/{folder.name}"))
    loaded = get_source("bids").load([str(folder), *derived], views=("sax",), **options)
    outcome = _ingest_outcome(Subject(sub=folder.name), loaded, codes=codes)
    contents = outcome.files.values()
    scan = next(content for content in contents if isinstance(content, Scan))
    labels = next((content[0] for content in contents if isinstance(content, tuple)), None)
    return scan, labels, dict(outcome.values), outcome.message


def finding(scan: Scan, name: str) -> tuple[str, str]:
    found = next(c for c in check(scan) if c.name == name)
    return str(found.verdict), found.message


# ------------------------------------------------------------------ geometry


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3), ("unknown", 1.0)])
def test_unit_of_length_counts(tmp_path, heart, unit, factor):
    affine = AFFINE.copy()
    affine[:3] *= factor
    path = save(tmp_path / "a_sa.nii.gz", heart[0], affine=affine, units=(unit, "sec"))
    scan = read_scan(path)
    np.testing.assert_allclose(scan.spacing_mm, STEPS, rtol=1e-5)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-3)


def with_steps(steps: tuple[float, float, float]) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, :3] *= np.array(steps) / STEPS
    return affine


@pytest.mark.parametrize("code", [1, 2, 4])
@pytest.mark.parametrize(
    ("steps", "used"), [((1.3, 1.25, 10.0), (1.3, 1.25, 10.0)), ((1.0, 1.0, 1.0), STEPS)]
)
def test_sform_against_pixdim_is_named_and_excludes(tmp_path, heart, steps, used, code):
    """Slices 8 or 10 mm apart: whoever is right, the number must not pass."""
    wrong = with_steps(steps)
    rows = {f"srow_{k}": wrong[i] for i, k in enumerate("xyz")}
    path = save(
        tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0], header={**rows, "sform_code": code}
    )
    scan, *_ = ingest(path.parent)
    np.testing.assert_allclose(scan.spacing_mm, used, rtol=1e-4)
    verdict, message = finding(scan, "affine_mismatch_pct")
    assert verdict == "fail"
    assert " x ".join(f"{s:g}" for s in steps) in message
    assert "pixdim 1.3 x 1.25 x 8" in message


def test_agreeing_sform_and_pixdim_pass(tmp_path, heart):
    path = save(tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0])
    scan, *_ = ingest(path.parent)
    assert finding(scan, "affine_mismatch_pct")[0] == "pass"
    assert "spacing_conflict_pct" not in scan.meta


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(), (0, 1)])
def test_stack_whose_slices_are_not_the_third_axis(tmp_path, heart, order, flips):
    """As programs leave it that bring every image to patient axes."""
    folder = tmp_path / "sub-1"
    for name, array in (("sa", heart[0]), ("sa_gt", heart[1])):
        stored, affine = turned(array, order, flips)
        save(folder / f"sub-1_{name}.nii.gz", stored, affine=affine, step=0.1)
    scan, labels, *_ = ingest(folder)
    np.testing.assert_allclose(scan.spacing_mm, STEPS, rtol=1e-5)
    np.testing.assert_array_equal(scan.array, heart[0])
    np.testing.assert_array_equal(labels.array, heart[1])


# ------------------------------------------------------------------ time


@pytest.mark.parametrize(
    ("step", "unit", "rate"),
    [
        (0.1, "sec", 75.0),
        (100.0, "msec", 75.0),
        (0.1, None, 75.0),  # can only be seconds
        (100.0, None, 75.0),  # can only be milliseconds
        (100.0, "sec", 75.0),  # 800 s: can only be milliseconds
        (0.1, "msec", 75.0),  # 0.8 ms: can only be seconds
        (100.0, "usec", 75.0),
        (0.0032, "sec", np.nan),  # the pulse repetition time, as dcm2niix writes it
        (1.0, "sec", np.nan),  # what joining frames leaves
        (1.0, "msec", np.nan),
        (7.0, None, np.nan),
    ],
)
def test_heart_rate_is_right_or_empty(tmp_path, heart, step, unit, rate):
    path = save(tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0], step=step, units=("mm", unit))
    scan, *_ = ingest(path.parent)
    got = heart_rate_bpm(rr_ms=scan.meta.get("rr_ms"), frame_times_ms=scan.frame_times_ms)
    np.testing.assert_allclose(got, rate, rtol=1e-5)
    verdict, message = finding(scan, "cycle_ms")
    if np.isfinite(rate):
        assert verdict == "pass"
        assert ("assumed" in message) == (unit is None)
    else:
        assert verdict == ("not_assessed" if scan.frame_times_ms is None else "review")


@pytest.mark.parametrize("factor", [1.0, 0.001, 1000.0])
@pytest.mark.parametrize("start", [0.0, 25.0])
def test_frame_times_of_a_sidecar_in_another_unit(tmp_path, heart, factor, start):
    path = save(tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0])
    times = (start + 100 * np.arange(8)) * factor
    (path.parent / "sub-1_sa.json").write_text(json.dumps({"frame_times_ms": times.tolist()}))
    scan, _, _, message = ingest(path.parent)
    np.testing.assert_allclose(scan.frame_times_ms, start + 100 * np.arange(8))
    assert ("frame times are taken as" in message) == (factor != 1.0)


@pytest.mark.parametrize("key", ["RRInterval", "rr_ms"])
@pytest.mark.parametrize("factor", [1.0, 0.001, 1000.0])
def test_rr_interval_of_a_sidecar_in_another_unit(tmp_path, heart, key, factor):
    path = save(tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0], step=0.1)
    side = {"meta": {"rr_ms": 800 * factor}} if key == "rr_ms" else {key: 0.8 * factor}
    (path.parent / "sub-1_sa.json").write_text(json.dumps(side))
    scan, _, _, message = ingest(path.parent)
    assert scan.meta["rr_ms"] == pytest.approx(800)
    assert ("in another unit than expected: taken as 800 ms" in message) == (factor != 1.0)


def test_step_of_one_without_unit_is_no_time(tmp_path):
    """Joined frames: as milliseconds, 400 of them would make a heartbeat."""
    array = np.random.default_rng(2).integers(0, 99, (6, 6, 3, 400)).astype(np.int16)
    path = save(tmp_path / "a_sa.nii", array, step=1.0, units=("mm", None))
    assert read_scan(path).frame_times_ms is None


@pytest.mark.parametrize("rr", ["eight hundred", [800], {"ms": 800}, True, 1e400, None])
def test_rr_interval_of_another_type_is_not_used(tmp_path, heart, rr):
    path = save(tmp_path / "sub-1" / "sub-1_sa.nii.gz", heart[0], step=0.1)
    (path.parent / "sub-1_sa.json").write_text(
        json.dumps({"meta": {"rr_ms": rr}, "RRInterval": rr if isinstance(rr, str) else None})
    )
    scan, *_ = ingest(path.parent)
    assert "rr_ms" not in scan.meta


# ------------------------------------------------------------------ names


def test_names_in_any_case(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_SA.NII.GZ", heart[0], step=0.1)
    save(folder / "sub-1_SA_GT.Nii.gz", heart[1])
    scan, labels, *_ = ingest(folder)
    np.testing.assert_array_equal(scan.array, heart[0])
    np.testing.assert_array_equal(labels.array, heart[1])


@pytest.mark.parametrize("names", [("run-2", "run-10"), ("run-09", "run-10"), ("run-1", "run-2")])
def test_last_run_in_natural_order(tmp_path, heart, names):
    folder = tmp_path / "sub-1"
    save(folder / f"sub-1_{names[0]}_sa.nii.gz", heart[0] // 2)
    save(folder / f"sub-1_{names[1]}_sa.nii.gz", heart[0])
    scan, _, values, message = ingest(folder)
    np.testing.assert_array_equal(scan.array, heart[0])
    assert values["images_left_out"] == 1
    assert "1 of another run" in message


@pytest.mark.parametrize("first", ["", "_t0"])
def test_frames_as_dcm2niix_names_them(tmp_path, heart, first):
    folder = tmp_path / "sub-1"
    times = [0, 40, 100, 160, 220, 280, 340, 1000]
    for t, time in enumerate(times):
        name = f"_t{time}" if t else first
        save(folder / f"sub-1_sax{name}.nii", heart[0][..., t])
    scan, *_ = ingest(folder)
    np.testing.assert_array_equal(scan.array, heart[0])
    if first:
        np.testing.assert_array_equal(scan.frame_times_ms, times)


def test_equalised_stack_is_taken_and_said(tmp_path, heart):
    """dcm2niix: the plain file has the slices at wrong distances."""
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sax.nii", heart[0][:, :, :4])
    save(folder / "sub-1_sax_Eq_1.nii", heart[0])
    scan, _, values, _ = ingest(folder)
    assert scan.array.shape == SHAPE
    assert scan.meta["resampled_slices"] is True
    assert values["images_left_out"] == 1


def test_long_axis_cine_is_not_taken_for_short_axis(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_LA_CINE.nii.gz", heart[0])
    with pytest.raises(SubjectError) as caught:
        ingest(folder)
    assert caught.value.reason == "view_missing"
    save(folder / "sub-1_SA_CINE.nii.gz", heart[0])
    _, _, values, _ = ingest(folder)
    assert values["images_left_out"] == 0


def test_content_that_was_not_fetched_has_its_own_reason(tmp_path):
    folder = tmp_path / "sub-1"
    folder.mkdir()
    (folder / "sub-1_sa.nii.gz").symlink_to("../.git/annex/objects/gone")
    with pytest.raises(SubjectError, match="link without content") as caught:
        ingest(folder)
    assert caught.value.reason == "file_missing"


def test_missing_view_says_what_is_there(tmp_path):
    folder = tmp_path / "sub-1"
    folder.mkdir()
    (folder / "sub-1_sa.mha").write_bytes(b"x")
    with pytest.raises(SubjectError, match=r"files there end in \.mha"):
        ingest(folder)


def test_frames_on_other_grids_are_refused(tmp_path, heart):
    folder = tmp_path / "sub-1"
    moved = AFFINE.copy()
    moved[:3, 3] += 30
    save(folder / "sub-1_sa_ED.nii.gz", heart[0][..., 0])
    save(folder / "sub-1_sa_ES.nii.gz", heart[0][..., 3], affine=moved)
    with pytest.raises(SubjectError) as caught:
        ingest(folder)
    assert caught.value.reason == "frame_mismatch"


# ------------------------------------------------------------------ labels


def turned(array: np.ndarray, order: tuple[int, ...], flips: tuple[int, ...]) -> Any:
    """An array stored in another order and direction of its axes, and its affine."""
    affine = AFFINE[:, [*order, 3]].copy()
    array = array.transpose(*order, 3)
    for axis in flips:
        affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
        affine[:, axis] *= -1
        array = np.flip(array, axis)
    return np.ascontiguousarray(array), affine


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(), (0, 2), (1,), (0, 1, 2)])
def test_labels_are_turned_by_their_affine(tmp_path, heart, order, flips):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    stored, affine = turned(heart[1], order, flips)
    save(folder / "sub-1_sa_gt.nii.gz", stored, affine=affine)
    _, labels, values, _ = ingest(folder)
    np.testing.assert_array_equal(labels.array, heart[1])
    assert values["reference_problem"] == ""


def moved_by(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, 3] += mm
    return affine


@pytest.mark.parametrize(
    ("affine", "crop"),
    [
        (moved_by(50.0), SHAPE[0]),
        (with_steps((1.6, 1.25, 8.0)), SHAPE[0]),
        (np.diag([*STEPS, 1.0]), SHAPE[0]),
        (AFFINE, SHAPE[0] - 2),
    ],
)
def test_labels_elsewhere_cost_the_reference_not_the_image(tmp_path, heart, affine, crop):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    save(folder / "sub-1_sa_gt.nii.gz", heart[1][:crop], affine=affine)
    scan, labels, values, message = ingest(folder)
    assert scan.array.shape == SHAPE
    assert labels is None
    assert values["reference_problem"] == "label_mismatch"
    assert "reference labels not used" in message


@pytest.mark.parametrize(("off", "slope"), [(1e-7, 1.0), (2e-5, 1.0), (0.0, 1e-4), (0.0, 0.0118)])
def test_labels_that_scaling_left_a_little_off_are_whole(tmp_path, heart, off, slope):
    stored = heart[1].astype(np.float32) * np.float32(1 + off)
    path = save(tmp_path / "a_gt.nii.gz", stored)
    if slope != 1.0:
        stored = np.rint(stored / slope).astype(np.int16)
        path = save(path, stored, header={"scl_slope": slope, "scl_inter": 0.0})
    np.testing.assert_array_equal(read_labels(path).array, heart[1])


@pytest.mark.parametrize("bad", [0.5, -1.0, 65_536.0, np.nan, np.inf, 1e30])
def test_hopeless_labels_do_not_cost_the_image(tmp_path, heart, bad):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    stored = heart[1].astype(np.float32)
    stored[0, 0, 0, 0] = bad
    save(folder / "sub-1_sa_gt.nii.gz", stored)
    scan, labels, values, _ = ingest(folder)
    assert scan.array.shape == SHAPE
    assert labels is None
    assert values["reference_problem"] == "bad_labels"


def test_code_without_a_meaning_is_named(heart):
    strange = heart[1].copy()
    strange[0, 0, 0, 0] = 9
    with pytest.raises(SubjectError, match="code 9") as caught:
        checked_reference(LabelMap(array=strange, frames=(0, 3)))
    assert caught.value.reason == "unknown_label"


@pytest.mark.parametrize(
    "codes",
    [
        {1: "lv", 2: "myo", 3: "rv"},
        {1: "rv", 2: "lv", 3: "myo"},
        {1: "myo", 2: "rv", 3: "lv"},
        {1: "lv", 2: "rv", 3: "myo"},
        {1: "myo", 2: "lv", 3: "rv"},
        {1: "rv", 2: "myo", 3: "lv"},
    ],
)
def test_exchanged_codes_are_recognised_and_recoded(tmp_path, heart, codes):
    own = {"rv": Label.RV, "myo": Label.MYO, "lv": Label.LV}
    stored = np.zeros_like(heart[1])
    for code, name in codes.items():
        stored[heart[1] == own[name]] = code
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    save(folder / "sub-1_sa_gt.nii.gz", stored)
    _, labels, values, message = ingest(folder)
    if codes == {1: "rv", 2: "myo", 3: "lv"}:
        assert labels is not None
    else:
        assert labels is None
        assert values["reference_problem"] == "label_coding"
        expected = ", ".join(f"{code}: {name}" for code, name in codes.items())
        assert f"source.label_codes: {{{expected}}}" in message
    _, labels, *_ = ingest(folder, codes=codes)
    np.testing.assert_array_equal(labels.array, heart[1])


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ({85: "rv", 170: "myo", 255: "lv"}, "unknown_label"),
        ({1: "lv", 2: "myo"}, "label_coding"),
        ({600: "lv", 200: "myo"}, "unknown_label"),
    ],
)
def test_coding_of_other_programs_is_suggested(heart, codes, reason):
    own = {"rv": Label.RV, "myo": Label.MYO, "lv": Label.LV}
    stored = np.zeros(heart[1].shape, np.uint16)
    for code, name in codes.items():
        stored[heart[1] == own[name]] = code
    with pytest.raises(SubjectError) as caught:
        checked_reference(LabelMap(array=stored, frames=(0, 3)))
    assert caught.value.reason == reason
    expected = ", ".join(f"{code}: {name}" for code, name in sorted(codes.items()))
    assert f"source.label_codes: {{{expected}}} if that is the coding" in str(caught.value)


def test_incomplete_label_codes_are_named(heart):
    with pytest.raises(SubjectError, match="does not name") as caught:
        checked_reference(LabelMap(array=heart[1], frames=(0, 3)), {1: "rv", 2: "myo"})
    assert caught.value.reason == "unknown_label"


def test_further_codes_can_be_background(heart):
    stored = heart[1].copy()
    stored[0, 0, 0, 0] = 7
    codes = {1: "rv", 2: "myo", 3: "lv", 7: "background"}
    found = checked_reference(LabelMap(array=stored, frames=(0, 3)), codes)
    np.testing.assert_array_equal(found.array, heart[1])


@pytest.mark.data
def test_coding_of_expert_labels_is_never_doubted(data_dir):
    paths = sorted((data_dir / "acdc").glob("*/*_gt.nii.gz"))
    assert len(paths) >= 100
    doubted = []
    for path in paths:
        array = read_labels(path).array
        doubted += [path.name] if likely_codes(array) else []
        swapped = np.array([0, 3, 2, 1], np.uint8)[array]
        assert likely_codes(swapped) == "{1: lv, 2: myo, 3: rv}"
    assert doubted == []


def test_frame_without_a_label_is_not_scored(heart):
    """A file for end-systole that holds nothing is no reference for end-systole."""
    empty = heart[1].copy()
    empty[..., 3] = 0
    assert checked_reference(LabelMap(array=empty, frames=(0, 3))).frames == (0,)
    with pytest.raises(SubjectError) as caught:
        checked_reference(LabelMap(array=np.zeros_like(empty), frames=(0, 3)))
    assert caught.value.reason == "empty_labels"


def test_two_makers_are_a_question(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    for maker, shift in (("manual", 0), ("nnunet", 1)):
        place = tmp_path / "derivatives" / maker / "sub-1"
        save(place / "sub-1_sa_dseg.nii.gz", np.roll(heart[1], shift, axis=0))
    _, labels, values, message = ingest(folder)
    assert labels is None
    assert values["reference_problem"] == "several_labels"
    assert "manual, nnunet" in message
    _, labels, *_ = ingest(folder, labels="manual")
    np.testing.assert_array_equal(labels.array, heart[1])
    _, labels, values, _ = ingest(folder, labels="somebody")
    assert labels is None
    assert values["reference_problem"] == "labels_unused"
    assert "manual, nnunet" in values["reference_message"]


def test_label_makers_by_name(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    save(folder / "sub-1_sa_desc-manual_dseg.nii.gz", heart[1])
    save(folder / "sub-1_sa_desc-auto_dseg.nii.gz", np.roll(heart[1], 1, axis=0))
    assert ingest(folder)[2]["reference_problem"] == "several_labels"
    _, labels, *_ = ingest(folder, labels="manual")
    np.testing.assert_array_equal(labels.array, heart[1])


def test_labels_of_phases_find_their_frames_by_the_image(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_SA_CINE.nii.gz", heart[0], step=0.1)
    for phase, t in (("ED", 0), ("ES", 3)):
        save(folder / f"sub-1_SA_{phase}.nii.gz", heart[0][..., t])
        save(folder / f"sub-1_SA_{phase}_gt.nii.gz", heart[1][..., t])
    scan, labels, *_ = ingest(folder)
    assert scan.array.shape == SHAPE
    assert labels.frames == (0, 3)
    np.testing.assert_array_equal(labels.array, heart[1])


@pytest.mark.parametrize(
    ("image", "label", "reason"),
    [
        ("sa.nii.gz", "label_sa_ED.nii.gz", "label_frames"),
        ("sub-1_sa.nii.gz", "sub-1_sa_dseg.nii.gz", "label_mismatch"),
        ("sub-1_run-2_sa.nii.gz", "sub-1_run-1_sa_dseg.nii.gz", "labels_unused"),
    ],
)
def test_labels_of_one_frame_that_nobody_named_are_reported(tmp_path, heart, image, label, reason):
    folder = tmp_path / "sub-1"
    save(folder / image, heart[0])
    save(folder / label, heart[1][..., 0])
    scan, labels, values, _ = ingest(folder)
    assert scan.array.shape == SHAPE
    assert labels is None
    assert values["reference_problem"] == reason


def test_label_grid_is_compared_with_the_scan(tmp_path, heart):
    path = save(tmp_path / "a_gt.nii.gz", heart[1])
    scan = Scan(array=heart[0], affine=AFFINE, spacing_mm=STEPS)
    np.testing.assert_array_equal(read_reference(path, scan).array, heart[1])


def test_codes_beyond_a_byte_are_recoded(tmp_path, heart):
    """Whole-heart challenges code the right ventricle 600 and leave other chambers in."""
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    stored = np.array([0, 600, 205, 500], np.int16)[heart[1]]
    stored[0, 0, 0, 0] = 420
    save(folder / "sub-1_sa_dseg.nii.gz", stored)
    assert ingest(folder)[2]["reference_problem"] == "unknown_label"
    codes = {600: "rv", 205: "myo", 500: "lv", 420: "background"}
    _, labels, *_ = ingest(folder, codes=codes)
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, heart[1])


def test_label_file_of_a_phase_that_holds_nothing_is_reported(tmp_path, heart):
    folder = tmp_path / "sub-1"
    for phase, t in (("ED", 0), ("ES", 3)):
        save(folder / f"sub-1_sa_{phase}.nii.gz", heart[0][..., t])
        save(folder / f"sub-1_sa_{phase}_gt.nii.gz", heart[1][..., t] * (phase == "ED"))
    _, labels, _, message = ingest(folder)
    assert labels.frames == (0,)
    assert "no voxel is labelled in frame 2: not scored" in message


def test_label_files_without_an_image_are_reported_beside_used_ones(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    save(folder / "sub-1_sa_dseg.nii.gz", heart[1])
    save(folder / "sub-1_run-7_sa_dseg.nii.gz", heart[1])
    _, labels, _, message = ingest(folder)
    assert labels.frames == (0, 3)
    assert "1 label files have not the image's name" in message


@pytest.mark.parametrize(("steps", "used"), [((1.0, 1.0, 1.0), True), ((2.0, 2.0, 8.0), False)])
def test_labels_without_orientation_need_voxels_that_fit(tmp_path, heart, steps, used):
    folder = tmp_path / "sub-1"
    save(folder / "sub-1_sa.nii.gz", heart[0])
    lost = {"sform_code": 0, "qform_code": 0, "pixdim": [1, *steps, 1, 0, 0, 0]}
    save(folder / "sub-1_sa_dseg.nii.gz", heart[1], header=lost)
    _, labels, values, _ = ingest(folder)
    assert (labels is not None) == used
    assert values["reference_problem"] == ("" if used else "label_mismatch")


@pytest.mark.parametrize(
    "text",
    [
        "/annex/objects/MD5E-s100--d41d8cd98f00b204e9800998ecf8427e.nii.gz\n",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    ],
)
def test_pointer_without_content_has_its_own_reason(tmp_path, text):
    folder = tmp_path / "sub-1"
    folder.mkdir()
    (folder / "sub-1_sa.nii.gz").write_text(text)
    with pytest.raises(SubjectError, match="fetch") as caught:
        get_source("bids").load([str(folder)])
    assert caught.value.reason == "file_missing"


def test_upper_case_sidecars_phase_images_and_subject_folders(tmp_path, heart):
    folder = tmp_path / "sub-1"
    save(folder / "SUB-1_SA.NII.GZ", heart[0])
    save(folder / "SUB-1_SA_PH.NII.GZ", heart[0] * 0 + np.arange(8, dtype=np.int16))
    (folder / "SUB-1_SA.JSON").write_text('{"RRInterval": 0.8}')
    scan, *_ = ingest(folder)
    np.testing.assert_array_equal(scan.array, heart[0])
    assert scan.meta["rr_ms"] == 800.0
    (tmp_path / "SUB-2").mkdir()
    problems: list[str] = []
    found = get_source("bids").find(tmp_path, problems=problems)
    assert [item.sub for item in found] == ["sub-1"]
    assert "'SUB-2' is left out" in problems[0]


def test_contradictions_of_a_header_are_in_the_ledger(tmp_path, heart):
    folder = tmp_path / "sub-1"
    wide = AFFINE * np.array([1.0, 1.0, 1.25, 1.0])
    rows = {f"srow_{axis}": wide[i] for i, axis in enumerate("xyz")}
    save(folder / "sub-1_sa.nii.gz", heart[0], step=0.0037, header=rows)
    message = ingest(folder)[3]
    assert "sform says 1.3 x 1.25 x 10 mm, pixdim 1.3 x 1.25 x 8 mm" in message
    assert "the frames take 29.6 ms in all, which is no heart cycle" in message
    save(folder / "sub-1_sa.nii.gz", heart[0], step=0.1, units=("mm", None))
    assert "time step without a unit taken as sec" in ingest(folder)[3]


# ------------------------------------------------------------------ ACDC


def acdc(root: Path, heart: Any, info: bytes, *, ending: str = ".nii.gz", gt: str = "both") -> Path:
    folder = root / "patient901"
    for t, phase in ((0, "ED"), (3, "ES")):
        name = f"patient901_frame{t + 1:02d}"
        save(folder / f"{name}{ending}", heart[0][..., t])
        if gt in ("both", phase):
            save(folder / f"{name}_gt{ending}", heart[1][..., t])
    (folder / "Info.cfg").write_bytes(info)
    return folder


INFO = b"ED: 1\nES: 4\nGroup: NOR\nHeight: 170\nNbFrame: 8\nWeight: 70\n"


@pytest.mark.parametrize(
    "info",
    [INFO, INFO.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + INFO, INFO.replace(b"1\n", b"1.0\n")],
)
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_acdc_as_people_keep_it(tmp_path, heart, info, ending):
    folder = acdc(tmp_path, heart, info, ending=ending)
    loaded = get_source("acdc").load([str(folder)])
    usable, problems = usable_references(loaded)
    np.testing.assert_array_equal(loaded.scans["sax"].array, heart[0][..., [0, 3]])
    np.testing.assert_array_equal(usable["sax"].array, heart[1][..., [0, 3]])
    assert problems == {}


def test_acdc_with_one_label_file_keeps_image_and_label(tmp_path, heart):
    folder = acdc(tmp_path, heart, INFO, gt="ED")
    loaded = get_source("acdc").load([str(folder)])
    assert loaded.scans["sax"].array.shape[3] == 2
    assert loaded.labels["sax"].frames == (0,)
    assert "patient901_frame04_gt.nii.gz: no such file" in loaded.notes[0]


def test_acdc_with_damaged_labels_keeps_the_image(tmp_path, heart):
    folder = acdc(tmp_path, heart, INFO, gt="none")
    (folder / "patient901_frame01_gt.nii.gz").write_bytes(b"no image")
    loaded = get_source("acdc").load([str(folder)])
    assert loaded.scans["sax"].array.shape[3] == 2
    assert loaded.label_problems["sax"].reason == "not_an_image"
