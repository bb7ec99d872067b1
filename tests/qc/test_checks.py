"""Every check fires on the fault it is there for, and is silent on a clean scan."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from popscan import qc
from popscan.protocols.cine_sax import qc as cine
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.documentation import documentation
from popscan.qc.model import Verdict
from popscan.qc.runner import outcome
from popscan.records import PopscanError, Scan, SubjectError
from popscan.study import dictionary

ES = 8  # end-systolic frame of the clean case


def by_name(checks: list[qc.Check]) -> dict[str, qc.Check]:
    return {check.name: check for check in checks}


def run(case: Any, **options: Any) -> dict[str, qc.Check]:
    return by_name(cine.check(case.scan, case.labels, **options))


def flagged(checks: dict[str, qc.Check]) -> set[str]:
    return {name for name, c in checks.items() if c.verdict in (Verdict.REVIEW, Verdict.FAIL)}


@pytest.mark.parametrize("name", ["orientation_conflict_deg", "undecided_slices", "copied_slices"])
def test_a_limit_that_is_none_but_a_definition_names_no_scans(name: str) -> None:
    assert cine.CHECKS[name].source == "definition; no limit was fitted"
    assert "expert-labelled" in cine.CHECKS["snr"].source


def test_clean_scan_passes_every_check(case: Any) -> None:
    checks = cine.check(case.scan, case.labels)
    assert [check.name for check in checks] == list(cine.CHECKS)
    passed = {check.name for check in checks if check.verdict == Verdict.PASS}
    # The base lies well inside; no model said what Dice to expect, nor how usual the scan is; and
    # lines of k-space were not compared.
    unsaid = {
        "kspace_lines_pct",
        *("base_cut_ratio", "rv_base_cut_ratio"),
        *("error_risk", "expected_dice", "lvef_doubt_points", "ood"),
    }
    assert set(cine.CHECKS) - passed == unsaid, qc.reasons(checks)
    assert qc.verdict(checks) == "pass"
    assert qc.reasons(checks) == ""


# --- faults of the image -------------------------------------------------------------------------


def nan_voxels(c: Any) -> Any:
    c.scan.array[:20] = np.nan
    return c


def wrong_spacing(c: Any) -> Any:
    return c.with_scan(spacing_mm=(5.0, 5.0, 10.0), affine=np.diag([5.0, 5.0, 10.0, 1.0]))


def unequal_spacing(c: Any) -> Any:
    return c.with_scan(spacing_mm=(2.5, 1.2, 10.0), affine=np.diag([2.5, 1.2, 10.0, 1.0]))


def frames_before_slices(c: Any) -> Any:
    """Slices that differ in brightness, as real ones do, written with the axes exchanged."""
    image = c.scan.array * np.linspace(0.8, 1.2, c.scan.array.shape[2])[:, None]
    c = c.with_image(np.swapaxes(image, 2, 3).astype(np.float32))
    c.labels = np.swapaxes(c.labels, 2, 3)
    return c


def thick_slices(c: Any) -> Any:
    return c.with_scan(spacing_mm=(2.5, 2.5, 30.0), affine=np.diag([2.5, 2.5, 30.0, 1.0]))


def affine_disagrees(c: Any) -> Any:
    return c.with_scan(affine=np.diag([2.5, 2.5, 8.0, 1.0]))


def tight_crop(c: Any) -> Any:
    x, y = (np.nonzero((c.labels > 0).any(axis=(1 - axis, 2, 3)))[0] for axis in (0, 1))
    box = slice(x[0], x[-1] + 1), slice(y[0], y[-1] + 1)
    c = c.with_image(c.scan.array[box])
    c.labels = c.labels[box]
    return c


def two_slices(c: Any) -> Any:
    c = c.with_image(c.scan.array[:, :, 3:5])
    c.labels = c.labels[:, :, 3:5]
    return c


def no_apex(c: Any) -> Any:
    c = c.with_image(c.scan.array[:, :, :5])
    c.labels = c.labels[:, :, :5]
    return c


def drowned_in_noise(c: Any) -> Any:
    noise = np.random.default_rng(1).normal(0, 200, c.scan.array.shape)
    return c.with_image(c.scan.array + noise.astype(np.float32))


def inverted(c: Any) -> Any:
    return c.with_image(500.0 - c.scan.array)


def blurred(c: Any) -> Any:
    """Ghosts at large offsets: what motion during the acquisition leaves behind."""
    image = c.scan.array
    return c.with_image(sum(np.roll(image, s, axis=0) for s in range(-9, 10, 2)) / 10.0)


def ghosted(c: Any) -> Any:
    image = c.scan.array
    wave = np.sign(np.sin(np.arange(image.shape[1])))[None, :, None, None]
    return c.with_image(image + (0.8 * wave * np.roll(image, 20, axis=1)).astype(np.float32))


def no_base(c: Any) -> Any:
    c = c.with_image(c.scan.array[:, :, 4:])
    c.labels = c.labels[:, :, 4:]
    return c


def short_cycle(c: Any) -> Any:
    c = c.with_scan(array=c.scan.array[..., :8], frame_times_ms=c.scan.frame_times_ms[:8])
    c.labels = c.labels[..., :8]
    return c


def clipped(c: Any) -> Any:
    return c.with_image(np.minimum(c.scan.array, 380.0))


def blank_slice(c: Any) -> Any:
    c.scan.array[:, :, 4] = 0.0
    return c


def repeated_frame(c: Any) -> Any:
    c.scan.array[..., 5] = c.scan.array[..., 4]
    return c


def blank_frame(c: Any) -> Any:
    c.scan.array[..., 5] = 0.0
    return c


def lost_frames(c: Any) -> Any:
    times = c.scan.frame_times_ms.copy()
    times[10:] += 2 * 45.0
    return c.with_scan(frame_times_ms=times)


def times_stand_still(c: Any) -> Any:
    times = c.scan.frame_times_ms.copy()
    times[5] = times[4]
    return c.with_scan(frame_times_ms=times)


def few_frames(c: Any) -> Any:
    c = c.with_scan(array=c.scan.array[..., ::3], frame_times_ms=c.scan.frame_times_ms[::3])
    c.labels = c.labels[..., ::3]
    return c


def dark_slices(c: Any) -> Any:
    c.scan.array[:, :, 5:] *= 0.3
    return c


def flashing_frame(c: Any) -> Any:
    c.scan.array[..., 3] *= 2.0
    return c


def slipped_slice(c: Any) -> Any:
    c = c.with_image(c.scan.array.copy())
    for array in (c.scan.array, c.labels):
        array[:, :, 4] = np.roll(array[:, :, 4], 8, axis=0)
    return c


def interleaved(c: Any) -> Any:
    order = np.r_[0:10:2, 1:10:2]
    c = c.with_image(c.scan.array[:, :, order].copy())
    c.labels[:] = c.labels[:, :, order]
    return c


def decided(**meta: Any) -> Callable[[Any], Any]:
    """What the reader says of its choices."""

    def spoil(c: Any) -> Any:
        return c.with_scan(meta={**c.scan.meta, **meta})

    spoil.__name__ = "_".join(meta)
    return spoil


# --- faults of the labels ------------------------------------------------------------------------


def without(label: Label, frames: slice) -> Callable[[Any], Any]:
    def spoil(c: Any) -> Any:
        part = c.labels[..., frames]
        part[part == label] = Label.BACKGROUND
        return c

    return spoil


def scattered(label: Label) -> Callable[[Any], Any]:
    def spoil(c: Any) -> Any:
        for x in range(4, 30, 10):
            for y in range(4, 30, 10):
                c.labels[x : x + 6, y : y + 6, 2:8, 3] = label
        return c

    return spoil


def gap(label: Label) -> Callable[[Any], Any]:
    def spoil(c: Any) -> Any:
        part = c.labels[:, :, 4, 6]
        part[part == label] = Label.BACKGROUND
        return c

    return spoil


def swollen(label: Label, frame: int) -> Callable[[Any], Any]:
    """One frame of the middle of the beat gets the labels of another phase."""

    def spoil(c: Any) -> Any:
        other = c.labels[..., 0] == label
        c.labels[other, frame] = label
        return c

    return spoil


def holes(*labels: Label) -> Callable[[Any], Any]:
    def spoil(c: Any) -> Any:
        part = c.labels[::3, ::3]
        part[np.isin(part, labels)] = Label.BACKGROUND
        return c

    return spoil


def open_wall(c: Any) -> Any:
    half = c.labels[40:]
    half[half == Label.MYO] = Label.BACKGROUND
    return c


def no_septum(c: Any) -> Any:
    half = c.labels[40:]
    half[half == Label.MYO] = Label.RV
    return c


def distant_rv(c: Any) -> Any:
    rv = c.labels == Label.RV
    c.labels[rv] = Label.BACKGROUND
    c.labels[np.roll(rv, 12, axis=0)] = Label.RV
    return c


def two_lv_slices(c: Any) -> Any:
    c.labels[:, :, 3:] = Label.BACKGROUND
    return c


def second_bulge(c: Any) -> Any:
    far = c.labels[:, :, 7, 0]
    far[c.labels[:, :, 2, 0] == Label.LV] = Label.LV
    return c


def mirrored(c: Any) -> Any:
    return c.with_scan(affine=np.diag([-2.0, -2.0, 10.0, 1.0]))


def half_cycle(c: Any) -> Any:
    first = np.repeat(np.arange(ES), 2)
    c = c.with_scan(array=c.scan.array[..., first], frame_times_ms=None)
    c.labels = c.labels[..., first]
    return c


def late_systole(c: Any) -> Any:
    order = np.r_[np.repeat(np.arange(ES), 2), ES, 11, 14, 17]
    c = c.with_image(c.scan.array[..., order])
    c.labels = c.labels[..., order]
    return c


def scaled(factor: float) -> Callable[[Any], Any]:
    def spoil(c: Any) -> Any:
        spacing = tuple(factor * s for s in c.scan.spacing_mm)
        return c.with_scan(spacing_mm=spacing, affine=np.diag([*spacing, 1.0]))

    return spoil


def repetition_time_for_frame_time(c: Any) -> Any:
    meta = {k: v for k, v in c.scan.meta.items() if k != "rr_ms"}
    return c.with_scan(frame_times_ms=3.2 * np.arange(c.scan.array.shape[3]), meta=meta)


def still(c: Any) -> Any:
    c.labels[:] = c.labels[..., :1]
    return c


def thin_es_wall(c: Any) -> Any:
    part = c.labels[:, :, 4:, ES]
    part[part == Label.MYO] = Label.BACKGROUND
    return c


def rv_still(c: Any) -> Any:
    rv = c.labels[..., :1] == Label.RV
    c.labels[c.labels == Label.RV] = Label.BACKGROUND
    c.labels[np.broadcast_to(rv, c.labels.shape)] = Label.RV
    return c


FAULTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("non_finite_pct", nan_voxels, "fail"),
    ("pixel_spacing_mm", wrong_spacing, "fail"),
    ("pixel_aspect", unequal_spacing, "review"),
    ("slice_distance_mm", thick_slices, "fail"),
    ("affine_mismatch_pct", affine_disagrees, "fail"),
    ("fov_mm", tight_crop, "review"),
    ("fov_margin_mm", tight_crop, "fail"),
    ("slice_count", two_slices, "fail"),
    ("stack_length_mm", two_slices, "fail"),
    ("apical_coverage_pct", no_apex, "review"),
    ("snr", drowned_in_noise, "fail"),
    ("contrast_pct", inverted, "fail"),
    ("base_cut_ratio", no_base, "review"),
    ("rv_base_cut_ratio", no_base, "review"),
    ("edge_width_mm", blurred, "review"),
    ("wall_spread_pct", ghosted, "review"),
    ("cycle_coverage_pct", short_cycle, "fail"),
    ("cycle_ms", repetition_time_for_frame_time, "review"),
    ("saturation_pct", clipped, "fail"),
    ("blank_planes_pct", blank_slice, "review"),
    ("missing_frames", repeated_frame, "review"),
    ("missing_frames", blank_frame, "review"),
    ("missing_frames", lost_frames, "review"),
    ("frame_count", few_frames, "fail"),
    ("slice_frame_change_ratio", frames_before_slices, "review"),
    ("frame_times_pct", times_stand_still, "fail"),
    ("frame_times_pct", lost_frames, "fail"),
    ("slice_intensity_pct", dark_slices, "fail"),
    ("frame_intensity_pct", flashing_frame, "fail"),
    ("slice_order", interleaved, "review"),
    ("slice_shift_mm", slipped_slice, "review"),
    ("image_shift_mm", slipped_slice, "review"),
    ("slices_left_out", decided(slices_left_out=3, images_left_out_reason="24 tilted"), "review"),
    (
        "kspace_lines_pct",
        decided(
            line_rejection={
                "lines_found_worst_pct": 25.0,
                "lines_judged_by": "shots",
                "lines_left_out": 40,
            }
        ),
        "review",
    ),
    ("frame_order", decided(frame_order="file_name", n_guessed_slices=10), "review"),
    ("slice_start_frames", decided(slice_start_frames=4.0), "review"),
    ("frames_short", decided(n_frames_told=25), "review"),
    ("copied_slices", decided(n_copied_slices=2), "review"),
    ("orientation_conflict_deg", decided(orientation_conflict_deg=180.0), "review"),
    ("undecided_slices", decided(n_undecided_slices=10), "review"),
    ("slice_tilt_deg", decided(slice_tilt_deg=3.0), "review"),
    ("slice_gap_pct", decided(slice_irregularity=0.2), "review"),
    ("frames_of_reference", decided(n_frames_of_reference=2), "review"),
    ("lv_missing_frames_pct", without(Label.LV, slice(0, 1)), "review"),
    ("myo_missing_frames_pct", without(Label.MYO, slice(0, 4)), "fail"),
    ("rv_missing_frames_pct", without(Label.RV, slice(None)), "fail"),
    ("lv_components", scattered(Label.LV), "review"),
    ("myo_components", scattered(Label.MYO), "review"),
    ("rv_components", scattered(Label.RV), "review"),
    ("lv_stray_pct", scattered(Label.LV), "fail"),
    ("myo_stray_pct", scattered(Label.MYO), "fail"),
    ("rv_stray_pct", scattered(Label.RV), "fail"),
    ("lv_split_slices_pct", scattered(Label.LV), "fail"),
    ("myo_split_slices_pct", scattered(Label.MYO), "fail"),
    ("rv_split_slices_pct", scattered(Label.RV), "fail"),
    ("lv_slice_gaps", gap(Label.LV), "review"),
    ("myo_slice_gaps", gap(Label.MYO), "review"),
    ("rv_slice_gaps", gap(Label.RV), "review"),
    ("lv_curve_spike_pct", swollen(Label.LV, ES), "fail"),
    ("rv_curve_spike_pct", swollen(Label.RV, ES), "fail"),
    ("myo_curve_spike_pct", without(Label.MYO, slice(4, 5)), "pass"),
    ("lv_curve_roughness_pct", swollen(Label.LV, ES), "review"),
    ("heart_holes_pct", holes(Label.LV, Label.MYO), "review"),
    ("rv_holes_pct", holes(Label.RV), "review"),
    ("lv_open_pct", open_wall, "fail"),
    ("lv_rv_contact_pct", no_septum, "fail"),
    ("rv_apart_pct", distant_rv, "fail"),
    ("labelled_slices", two_lv_slices, "fail"),
    ("lv_length_ratio", two_lv_slices, "fail"),
    ("area_profile_pct", second_bulge, "review"),
    ("rv_side", mirrored, "review"),
    ("curve_closure_pct", half_cycle, "review"),
    ("es_phase_pct", late_systole, "review"),
    ("lvedv_ml", scaled(0.5), "fail"),
    ("rvedv_ml", scaled(2.0), "fail"),
    ("lvm_g", scaled(2.0), "fail"),
    ("lvef_pct", still, "fail"),
    ("rvef_pct", rv_still, "review"),
    ("mass_agreement_pct", thin_es_wall, "fail"),
    ("stroke_agreement_pct", rv_still, "pass"),
    ("co_l_min", still, "review"),
]


@pytest.mark.parametrize(
    ("name", "spoil", "least"),
    FAULTS,
    ids=[f"{n}-{getattr(f, '__name__', '')}" for n, f, _ in FAULTS],
)
def test_fault_is_found(case: Any, name: str, spoil: Callable[[Any], Any], least: str) -> None:
    spoilt = spoil(case)
    spec = cine.CHECKS[name]
    check = outcome(name, spec, spec.measure(Context(spoilt.scan, spoilt.labels)))
    wanted = {"pass": {"pass"}, "review": {"review", "fail"}, "fail": {"fail"}}[least]
    assert check.verdict in wanted, check
    assert check.message


def test_every_check_with_limits_has_a_fault() -> None:
    limited = {
        name for name, s in cine.CHECKS.items() if s.review is not None or s.fail is not None
    }
    assert limited - {name for name, _, least in FAULTS if least != "pass"} == {
        "myo_curve_spike_pct",  # same functions as for the LV, which have theirs
        "myo_curve_roughness_pct",
        "expected_dice",  # not in scan or labels: these have tests of their own
        "ood",
        "error_risk",  # test_risk.py
        "label_risk",  # test_label_risk.py
        "base_open_pct",  # those of the base have tests in test_base.py
        "base_travel_mm",
        "lvef_doubt_points",
        "rv_curve_roughness_pct",
    }


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0,), (1,), (2,)])
def test_flips_change_no_segmentation_check(case: Any, axes: tuple[int, ...]) -> None:
    before = run(case)
    scan = case.with_scan(array=np.flip(case.scan.array, axes), meta={}).scan
    after = by_name(cine.check(scan, np.flip(case.labels, axes)))
    for name, check in before.items():
        if check.kind == "segmentation" and name != "rv_side":
            assert after[name].value == pytest.approx(check.value, rel=1e-9, nan_ok=True), name


def test_intensity_scale_changes_no_verdict(case: Any) -> None:
    before = run(case)
    after = run(case.with_image(case.scan.array * 7.0))
    for name, check in before.items():
        assert after[name].value == pytest.approx(check.value, rel=1e-3, abs=1e-3, nan_ok=True), (
            name
        )


def test_slip_is_measured_in_mm(case: Any) -> None:
    before = run(case)["slice_shift_mm"].value
    assert run(slipped_slice(case))["slice_shift_mm"].value == pytest.approx(20.0, abs=before + 0.5)


def test_snr_follows_known_noise(case: Any) -> None:
    clean = np.where(case.labels > 0, 400.0, 200.0)
    for sigma in (5.0, 20.0):
        noise = np.random.default_rng(3).normal(0, sigma, clean.shape)
        found = run(case.with_image((clean + noise).astype(np.float32)))["snr"].value
        assert found == pytest.approx(400.0 / sigma, rel=0.05)


# --- what is not there ---------------------------------------------------------------------------


def test_no_labels_leaves_the_image_checks(case: Any) -> None:
    checks = cine.check(case.scan, None)
    assert [check.name for check in checks] == list(cine.CHECKS)
    assert all(c.verdict == Verdict.NOT_ASSESSED for c in checks if c.kind == "segmentation")
    assert {c.name for c in checks if c.verdict == Verdict.PASS} >= {"snr", "image_shift_mm"}
    assert qc.verdict(checks) == "pass"


def test_two_named_frames_have_no_curve_and_still_pass(case: Any) -> None:
    frames = [0, ES]
    scan = case.with_scan(
        array=case.scan.array[..., frames],
        frame_times_ms=None,
        meta={"frame_labels": ["ED", "ES"], "orientation_known": True},
    ).scan
    checks = by_name(cine.check(scan, case.labels[..., frames]))
    assert not flagged(checks)
    for name in ("lv_curve_spike_pct", "es_phase_pct", "frame_count", "frame_times_pct"):
        assert checks[name].verdict == Verdict.NOT_ASSESSED
        assert math.isnan(checks[name].value)
        assert checks[name].message.startswith("not assessed: ")


def test_reference_of_two_frames_in_a_full_cine(case: Any) -> None:
    labels = np.zeros_like(case.labels)
    labels[..., [0, ES]] = case.labels[..., [0, ES]]
    assert not flagged(by_name(cine.check(case.scan, labels, frames=[0, ES])))
    assert "lv_missing_frames_pct" in flagged(by_name(cine.check(case.scan, labels)))


def test_empty_labels_fail_and_nan_is_never_a_pass(case: Any) -> None:
    checks = run(type(case)(case.scan, np.zeros_like(case.labels)))
    assert checks["lv_missing_frames_pct"].verdict == Verdict.FAIL
    for check in checks.values():
        if math.isnan(check.value):
            assert check.verdict in (Verdict.REVIEW, Verdict.NOT_ASSESSED), check


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_image_is_no_pass(case: Any, value: float) -> None:
    checks = cine.check(case.with_image(np.full_like(case.scan.array, value)).scan, case.labels)
    assert qc.verdict(checks) == "fail"


@pytest.mark.parametrize("shape", [(8, 8, 1, 1), (8, 8, 1, 5), (3, 4, 2, 1), (1, 1, 1, 1)])
def test_tiny_scans_do_not_break(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    scan = Scan(
        array=rng.normal(size=shape).astype(np.float32),
        affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0),
    )
    for labels in (None, np.zeros(shape, np.uint8), rng.integers(0, 4, shape).astype(np.uint8)):
        assert qc.verdict(cine.check(scan, labels)) in ("review", "fail")


def test_shapes_must_agree(case: Any) -> None:
    with pytest.raises(SubjectError, match="labels have shape"):
        cine.check(case.scan, case.labels[:-1])
    with pytest.raises(SubjectError, match="axes"):
        cine.check(case.with_image(case.scan.array[..., 0]).scan)


# --- thresholds ----------------------------------------------------------------------------------


def test_thresholds_override_defaults(case: Any) -> None:
    strict = {"snr": {"review": 1000.0}, "lvedv_ml": {"review": [0, 5], "fail": None}}
    checks = run(case, thresholds=strict)
    assert checks["snr"].verdict == Verdict.REVIEW
    assert checks["snr"].threshold == "review < 1000, fail < 3"
    assert checks["lvedv_ml"].verdict == Verdict.REVIEW
    assert checks["lvedv_ml"].threshold == "review outside 0 to 5"
    assert run(case, thresholds={"snr": {"fail": 1000}})["snr"].verdict == Verdict.FAIL


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"snrr": {"review": 1}}, ["there is no qc check 'snrr' (did you mean 'snr'?)"]),
        ({"snr": {"revieww": 1}}, ["unknown key 'revieww'", "known: review, fail"]),
        ({"snr": {"review": "high"}}, ["snr.review", "expected a number", "'high'"]),
        ({"snr": {"review": math.nan}}, ["snr.review"]),
        ({"snr": 5}, ["snr", "{review: .., fail: ..}"]),
        ({"lvedv_ml": {"fail": 5}}, ["lvedv_ml.fail", "two numbers"]),
        ({"lvedv_ml": {"fail": [9, 1]}}, ["lvedv_ml.fail"]),
        ({"a": {}, "b": {}}, ["'a'", "'b'"]),
    ],
)
def test_bad_thresholds_are_listed(case: Any, thresholds: dict, words: list[str]) -> None:
    with pytest.raises(PopscanError) as error:
        cine.check(case.scan, None, thresholds=thresholds)
    assert all(word in str(error.value) for word in words)
    assert qc.threshold_problems(cine.CHECKS, thresholds)


def test_defaults_are_no_problem_and_review_comes_before_fail() -> None:
    for name, spec in cine.CHECKS.items():
        assert not qc.threshold_problems(cine.CHECKS, {name: {"review": spec.review}})
        if spec.review is not None and spec.fail is not None:
            fails = spec.fail if isinstance(spec.fail, tuple) else (spec.fail,)
            assert not any(spec.exceeds(f, spec.fail) for f in fails)
            assert all(spec.exceeds(f, spec.review) or f == spec.review for f in fails), name


@pytest.mark.parametrize(
    ("thresholds", "in_order"),
    [
        ({"snr": {"review": 3, "fail": 30}}, False),  # low is bad
        ({"snr": {"review": 30, "fail": 3}}, True),
        ({"snr": {"review": 3, "fail": 3}}, True),
        ({"snr": {"review": 3, "fail": None}}, True),
        ({"snr": {"review": 1e-6}}, False),  # beside the default of fail
        ({"fov_margin_mm": {"review": None}}, True),
        ({"lvedv_ml": {"review": [60, 250], "fail": [20, 400]}}, True),
        ({"lvedv_ml": {"review": [60, 250], "fail": [80, 400]}}, False),
    ],
)
def test_limits_of_fail_lie_beyond_those_of_review(thresholds: dict, in_order: bool) -> None:
    name = next(iter(thresholds))
    spec = cine.CHECKS[name]
    if "fail" not in thresholds[name] and spec.fail is None:
        in_order = True
    problems = qc.order_problems(cine.CHECKS, thresholds)
    assert bool(problems) != in_order
    assert all(name in text and "is reached before review" in text for text in problems)


def test_verdict_is_the_worst() -> None:
    def made(*verdicts: Verdict) -> list[qc.Check]:
        return [
            qc.Check(name="n", kind="image", value=0, threshold="", unit="", verdict=v, message="")
            for v in verdicts
        ]

    assert qc.verdict(made(Verdict.PASS, Verdict.NOT_ASSESSED)) == "pass"
    assert qc.verdict(made(Verdict.PASS, Verdict.REVIEW)) == "review"
    assert qc.verdict(made(Verdict.FAIL, Verdict.REVIEW)) == "fail"
    assert qc.verdict(made(Verdict.NOT_ASSESSED)) == "review"
    assert qc.verdict([]) == "review"


# --- tables --------------------------------------------------------------------------------------


def test_rows_and_checks_are_in_the_dictionary(case: Any) -> None:
    for check in cine.check(case.scan, case.labels):
        assert set(check.row()) <= set(dictionary.of("qc_checks"))
    page = documentation()
    assert all(f"`{name}`" in page for name in cine.CHECKS)


def test_expected_dice_is_the_worst_structure_and_silent_without_a_prediction(case):
    def judged(told):
        found = cine.check(case.scan, case.labels, from_segmentation=told)
        return next(c for c in found if c.name == "expected_dice")

    fine = {f"expected_dice_{name}_lowest": 0.9 for name in ("rv", "myo", "lv")}
    assert judged(fine).verdict == "pass"
    poor = judged({**fine, "expected_dice_myo_lowest": 0.4})
    assert poor.verdict == "review"
    assert poor.value == 0.4
    assert "MYO" in poor.message
    for told in (None, {}, dict.fromkeys(fine, float("nan")), dict.fromkeys(fine, None)):
        assert judged(told).verdict == "not_assessed"


def test_a_scan_unlike_the_training_asks_for_review_only(case):
    def judged(**told):
        found = cine.check(case.scan, case.labels, from_segmentation=told)
        return next(c for c in found if c.name == "ood").verdict

    assert judged(ood_score=0.8, ood_slices=0.0) == "pass"
    assert judged(ood_score=99.0, ood_slices=9.0) == "review"
    assert judged() == judged(ood_score=float("nan")) == "not_assessed"
