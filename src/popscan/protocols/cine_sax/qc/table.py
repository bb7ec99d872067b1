"""The checks: what is measured, in which unit, and the default limits.

The limits were set on 70 expert-labelled patients (healthy, dilated, hypertrophic, infarcted, RV
disease), nearly all of whom should pass or ask for a look, and on simulated faults; `fail` is left
for what cannot be right. Some limits of review were weighed against expert labels, clean and with
simulated faults: a check that flagged good results and found few wrong ones is looser than what is
usual. `benchmarks/qc_truth.py` counts both per check. Every limit can be replaced in the config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc import (
    acquisition,
    base,
    function,
    image,
    intensity,
    motion,
    segmentation,
)
from popscan.protocols.cine_sax.qc.label_risk import label_risk
from popscan.protocols.cine_sax.qc.risk import error_risk
from popscan.qc import image as common
from popscan.qc.model import Limit, Spec
from popscan.qc.order import slice_order

_PETERSEN = "range of Petersen et al. 2017, doi:10.1186/s12968-017-0327-9, widened for disease"
_KSPACE = "benchmarks/recon_motion.py"
_TARRONI = "after Tarroni et al. 2020, doi:10.1038/s41598-020-58212-2; limits own"


def _first_line(measure: Callable) -> str:
    """Return the first sentence of a check's docstring: its meaning, written once."""
    inner = measure.func if isinstance(measure, partial) else measure
    return (inner.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip().rstrip(".")


def _spec(
    kind: str, measure: Callable, unit: str, bad: str, review: Limit, fail: Limit, source: str = ""
) -> Spec:
    return Spec(
        measure=measure,
        kind="image" if kind == "image" else "segmentation",
        unit=unit,
        bad="high" if bad == "high" else "low" if bad == "low" else "outside",
        review=review,
        fail=fail,
        meaning=_first_line(measure),
        **({"source": source} if source else {}),
    )


_image = partial(_spec, "image")
_labels = partial(_spec, "segmentation")

_IMAGE: dict[str, Spec] = {
    "non_finite_pct": _image(common.non_finite_pct, "%", "high", 0.0, 0.0),
    "pixel_spacing_mm": _image(common.pixel_spacing_mm, "mm", "outside", (0.5, 2.6), (0.2, 4.0)),
    "pixel_aspect": _image(common.pixel_aspect, "ratio", "high", 1.1, 2.0),
    "slice_distance_mm": _image(
        common.slice_distance_mm, "mm", "outside", (4.0, 12.5), (1.0, 25.0)
    ),
    **common.GEOMETRY,
    "fov_mm": _image(common.fov_mm, "mm", "outside", (180.0, 500.0), (100.0, 700.0)),
    "fov_margin_mm": _image(image.fov_margin_mm, "mm", "low", 10.0, 1.0),
    "slice_count": _image(common.slice_count, "slices", "low", 6.0, 3.0),
    "stack_length_mm": _image(
        common.stack_length_mm, "mm", "outside", (50.0, 180.0), (30.0, 300.0)
    ),
    "basal_coverage_pct": _image(image.basal_coverage_pct, "%", "high", None, None),
    "base_cut_ratio": _image(image.base_cut_ratio, "ratio", "low", 0.85, 0.5, _TARRONI),
    "rv_base_cut_ratio": _image(base.rv_base_cut_ratio, "ratio", "low", 0.95, None),
    "apical_coverage_pct": _image(image.apical_coverage_pct, "%", "high", 60.0, 90.0, _TARRONI),
    "snr": _image(intensity.snr, "ratio", "low", 4.0, 3.0),
    "contrast_pct": _image(intensity.contrast_pct, "%", "low", 5.0, 0.0, _TARRONI),
    "edge_width_mm": _image(intensity.edge_width_mm, "mm", "high", 20.0, None),
    "wall_spread_pct": _image(intensity.wall_spread_pct, "%", "high", 55.0, None),
    "saturation_pct": _image(intensity.saturation_pct, "%", "high", 20.0, 50.0),
    "blank_planes_pct": _image(common.blank_planes_pct, "%", "high", 0.0, 10.0),
    "missing_frames": _image(image.missing_frames, "frames", "high", 0.0, 3.0),
    "frame_count": _image(image.frame_count, "frames", "low", 15.0, 8.0),
    "cycle_ms": _image(image.cycle_length, "ms", "outside", (300.0, 2000.0), None),
    "cycle_coverage_pct": _image(
        image.cycle_coverage_pct, "%", "outside", (75.0, 125.0), (50.0, 200.0)
    ),
    "slice_frame_change_ratio": _image(common.slice_frame_change_ratio, "ratio", "low", 0.8, 0.5),
    "frame_times_pct": _image(image.frame_times_pct, "%", "high", 10.0, 99.0),
    "slice_intensity_pct": _image(intensity.slice_intensity_pct, "%", "high", 40.0, 150.0),
    "frame_intensity_pct": _image(intensity.frame_intensity_pct, "%", "high", 15.0, 50.0),
    "slice_order": _image(slice_order, "correlation", "high", 0.05, None),
    "slice_shift_mm": _image(motion.slice_shift_mm, "mm", "high", 16.0, None, _TARRONI),
    "image_shift_mm": _image(motion.image_shift_mm, "mm", "high", 15.0, None),
    "kspace_lines_pct": _image(acquisition.kspace_lines_pct, "%", "high", 15.0, None, _KSPACE),
    "slices_left_out": _image(acquisition.slices_left_out, "slices", "high", 0.0, None),
    "frame_order": _image(acquisition.frame_order, "slices", "high", 0.0, None),
    "slice_start_frames": _image(acquisition.slice_start_frames, "frames", "high", 1.0, None),
    "frames_short": _image(acquisition.frames_short, "frames", "high", 0.0, None),
    "copied_slices": _image(acquisition.copied_slices, "slices", "high", 0.0, None),
    "undecided_slices": _image(acquisition.undecided_slices, "slices", "high", 0.0, None),
    "slice_tilt_deg": _image(acquisition.slice_tilt_deg, "degrees", "high", 1.0, None),
    "slice_gap_pct": _image(acquisition.slice_gap_pct, "%", "high", 10.0, None),
    "frames_of_reference": _image(acquisition.frames_of_reference, "frames", "high", 1.0, None),
}


def _per_structure(label: Label) -> dict[str, Spec]:
    """Return the checks that every structure gets."""
    name = STRUCTURES[label]
    of = partial(partial, label=label)
    ring, right = label == Label.MYO, label == Label.RV
    specs = {
        "missing_frames_pct": _labels(of(segmentation.missing_frames_pct), "%", "high", 0.0, 10.0),
        "components": _labels(of(segmentation.components_3d), "components", "high", 3.0, None),
        "stray_pct": _labels(of(segmentation.stray_pct), "%", "high", 5.0, 20.0),
        # In a slice the RV falls into pieces in truth where its outflow tract comes down.
        "split_slices_pct": _labels(
            of(segmentation.split_slices_pct),
            "%",
            "high",
            *((60.0, 75.0) if right else (25.0, 60.0)),
        ),
        "slice_gaps": _labels(of(segmentation.slice_gaps), "slices", "high", 0.0, 2.0),
        "curve_spike_pct": _labels(of(function.curve_spike_pct), "%", "high", 10.0, 30.0),
        "curve_roughness_pct": _labels(
            of(function.curve_roughness_pct), "%", "high", 6.0 if ring else 4.0, 15.0
        ),
    }
    return {f"{name}_{key}": spec for key, spec in specs.items()}


def _of_one(key: str, label: Label, review: tuple, fail: tuple) -> Spec:
    measure = {"edv_ml": function.edv_ml, "ef_pct": function.ef_pct}[key]
    unit = "mL" if key == "edv_ml" else "%"
    return _labels(partial(measure, label=label), unit, "outside", review, fail, _PETERSEN)


_SEGMENTATION: dict[str, Spec] = {
    **_per_structure(Label.LV),
    **_per_structure(Label.MYO),
    **_per_structure(Label.RV),
    "heart_holes_pct": _labels(segmentation.heart_holes_pct, "%", "high", 1.0, 10.0),
    "rv_holes_pct": _labels(segmentation.rv_holes_pct, "%", "high", 2.0, 20.0),
    "lv_open_pct": _labels(segmentation.lv_open_pct, "%", "high", 10.0, 40.0),
    "base_open_pct": _labels(base.base_open_pct, "%", "high", 60.0, None),
    "base_travel_mm": _labels(base.base_travel_mm, "mm", "outside", (0.0, 25.0), None),
    "lvef_doubt_points": _labels(base.lvef_doubt_points, "points", "high", 10.0, None),
    "lv_rv_contact_pct": _labels(segmentation.lv_rv_contact_pct, "%", "high", 2.0, 25.0),
    "rv_apart_pct": _labels(segmentation.rv_apart_pct, "%", "high", 25.0, 75.0),
    "labelled_slices": _labels(segmentation.labelled_slices, "slices", "low", 5.0, 3.0),
    "lv_length_ratio": _labels(
        segmentation.lv_length_ratio, "ratio", "outside", (0.7, 1.8), (0.5, 2.4)
    ),
    "area_profile_pct": _labels(segmentation.area_profile_pct, "%", "high", 30.0, 60.0),
    "rv_side": _labels(segmentation.rv_side, "cosine", "low", 0.0, None),
    "curve_closure_pct": _labels(function.curve_closure_pct, "%", "high", 20.0, 50.0),
    "es_phase_pct": _labels(function.es_phase_pct, "%", "outside", (20.0, 60.0), (8.0, 85.0)),
    "lvedv_ml": _of_one("edv_ml", Label.LV, (50.0, 360.0), (15.0, 700.0)),
    "lvef_pct": _of_one("ef_pct", Label.LV, (5.0, 85.0), (3.0, 95.0)),
    "lvm_g": _labels(function.lv_mass_g, "g", "outside", (30.0, 280.0), (10.0, 600.0), _PETERSEN),
    "rvedv_ml": _of_one("edv_ml", Label.RV, (50.0, 360.0), (15.0, 700.0)),
    "rvef_pct": _of_one("ef_pct", Label.RV, (5.0, 86.0), (-10.0, 95.0)),
    "co_l_min": _labels(function.cardiac_output, "L/min", "outside", (1.5, 15.0), None),
    "mass_agreement_pct": _labels(function.mass_agreement_pct, "%", "high", 35.0, 80.0),
    "stroke_agreement_pct": _labels(function.stroke_agreement_pct, "%", "high", None, None),
    "ood": _labels(
        segmentation.ood,
        "ratio",
        "high",
        1.0,
        None,
        "Mahalanobis distance in the network's features, docs/segmentation.md",
    ),
    "expected_dice": _labels(
        segmentation.expected_dice,
        "Dice",
        "low",
        0.78,
        None,
        "prediction of popscan.segment.expected, docs/segmentation.md",
    ),
    "label_risk": _labels(
        label_risk,
        "probability",
        "high",
        0.965,
        None,
        "boosted trees on spoilt labels, benchmarks/qc.py",
    ),
    "error_risk": _labels(
        error_risk,
        "probability",
        "high",
        0.54,
        None,
        "logistic model of all signs, benchmarks/qc_truth.py",
    ),
}

#: Check name -> its definition, in the order in which `check` returns them.
CHECKS: Mapping[str, Spec] = {**_IMAGE, **_SEGMENTATION}
