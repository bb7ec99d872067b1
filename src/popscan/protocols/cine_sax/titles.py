"""Names for people of what the protocol measures and checks: machine name -> title."""

from __future__ import annotations

from collections.abc import Mapping

_EACH = {
    "{}_missing_frames_pct": "Frames without {} (%)",
    "{}_components": "Pieces of {}",
    "{}_stray_pct": "{} away from its largest piece (%)",
    "{}_split_slices_pct": "Slices with {} in pieces (%)",
    "{}_slice_gaps": "Slices skipped by {}",
    "{}_curve_spike_pct": "Spike in the volume curve of {} (%)",
    "{}_curve_roughness_pct": "Roughness of the volume curve of {} (%)",
    "{}_holes_pct": "Holes in {} (%)",
    "{}_peak_ejection_ml_s": "{} peak ejection rate (mL/s)",
    "{}_peak_ejectioni_ml_s_m2": "{} peak ejection rate, index (mL/s/m²)",
    "{}_peak_ejection_time_ms": "Time to {} peak ejection (ms)",
    "{}_peak_filling_early_ml_s": "{} early peak filling rate (mL/s)",
    "{}_peak_filling_earlyi_ml_s_m2": "{} early peak filling rate, index (mL/s/m²)",
    "{}_peak_filling_early_time_ms": "Time to {} early peak filling (ms)",
    "{}_peak_filling_late_ml_s": "{} late peak filling rate (mL/s)",
    "{}_peak_filling_latei_ml_s_m2": "{} late peak filling rate, index (mL/s/m²)",
    "{}_peak_filling_late_time_ms": "Time to {} late peak filling (ms)",
    "{}_peak_filling_ratio": "{} early over late peak filling rate",
    "{}_filling_early_pct": "{} filled early (%)",
    "{}_filling_late_pct": "{} filled late (%)",
    "{}_filling_third_pct": "{} filled in the first third of diastole (%)",
    "{}_diastole_to_80_pct": "Diastole until {} is filled to 80% (%)",
    "{}_diastasis_ml": "{} volume at diastasis (mL)",
    "{}_diastasisi_ml_m2": "{} volume at diastasis, index (mL/m²)",
    "{}_diastasis_duration_ms": "Length of {} diastasis (ms)",
    "{}_systole_duration_ms": "Length of {} systole (ms)",
    "{}_ejection_norm_per_s": "{} peak ejection rate over EDV (1/s)",
    "{}_filling_early_norm_per_s": "{} early peak filling rate over EDV (1/s)",
    "{}_curve_noise_ml": "Noise of the volume curve of {} (mL)",
    "n_frames_outlying_{}": "Frames off the volume curve of {}",
    "{}_cycle_reason": "Why the cycle of {} was not measured",
}


def _structures() -> dict[str, str]:
    words = {"lv": "LV", "myo": "myocardium", "rv": "RV", "heart": "heart"}
    made = {
        key.format(name): title.format(word)
        for name, word in words.items()
        for key, title in _EACH.items()
    }
    return {key: title[:1].upper() + title[1:] for key, title in made.items()}


def _segments() -> dict[str, str]:
    """Titles of what is measured in each of the 17 segments of the AHA."""
    phases = {"ed": "end-diastole", "es": "end-systole"}
    titles: dict[str, str] = {}
    for n in range(1, 18):
        where = f"AHA segment {n}"
        titles[f"mass_aha{n:02d}_g"] = f"Mass, {where} (g)"
        for phase, when in phases.items():
            titles |= {
                f"wall_{phase}_aha{n:02d}_mm": f"Wall thickness at {when}, {where} (mm)",
                f"wall_{phase}_max_aha{n:02d}_mm": f"Largest wall thickness at {when}, "
                f"{where} (mm)",
                f"cavity_{phase}_aha{n:02d}_ml": f"LV cavity at {when}, {where} (mL)",
            }
    return titles


TITLES: Mapping[str, str] = {
    **_structures(),
    **_segments(),
    # image checks
    "non_finite_pct": "Voxels that are not finite (%)",
    "pixel_spacing_mm": "Pixel spacing (mm)",
    "pixel_aspect": "Ratio of pixel sides",
    "affine_mismatch_pct": "Spacing unlike the geometry (%)",
    "orientation_conflict_deg": "Angle of sform and qform (degrees)",
    "fov_mm": "Field of view (mm)",
    "fov_margin_mm": "Margin around the heart (mm)",
    "slice_count": "Slices",
    "basal_coverage_pct": "Coverage of the base (%)",
    "apical_coverage_pct": "Coverage of the apex (%)",
    "base_cut_ratio": "Base cut off",
    "rv_base_cut_ratio": "Base cut off, by the RV",
    "snr": "SNR",
    "contrast_pct": "Contrast of blood and wall (%)",
    "edge_width_mm": "Width of edges (mm)",
    "wall_spread_pct": "Spread of intensities in the wall (%)",
    "saturation_pct": "Saturated voxels (%)",
    "blank_planes_pct": "Blank planes (%)",
    "frame_count": "Frames",
    "cycle_ms": "Length of the cycle (ms)",
    "cycle_coverage_pct": "Coverage of the cycle (%)",
    "slice_frame_change_ratio": "Change between slices over change between frames",
    "frame_times_pct": "Unevenness of frame times (%)",
    "slice_intensity_pct": "Intensity steps between slices (%)",
    "frame_intensity_pct": "Intensity steps between frames (%)",
    "slice_order": "Order of slices",
    "slice_shift_mm": "Shift between slices (mm)",
    "image_shift_mm": "Shift of the image (mm)",
    "slice_start_frames": "Slices that start at another frame",
    "frames_short": "Slices with fewer frames",
    "undecided_slices": "Slices where another series may be the cine",
    "slice_tilt_deg": "Tilt of slices (degrees)",
    "slice_gap_pct": "Gap between slices (%)",
    # segmentation checks
    "lv_open_pct": "LV not enclosed by myocardium (%)",
    "base_open_pct": "Base not enclosed (%)",
    "base_travel_mm": "Travel of the base (mm)",
    "lvef_doubt_points": "Doubt of LVEF (points)",
    "lv_rv_contact_pct": "Contact of LV and RV (%)",
    "rv_apart_pct": "RV apart from the LV (%)",
    "labelled_slices": "Slices with labels",
    "lv_length_ratio": "LV length over outer diameter, ED",
    "area_profile_pct": "Profile of areas from base to apex (%)",
    "rv_side": "Side of the RV",
    "curve_closure_pct": "Closure of the volume curve (%)",
    "es_phase_pct": "End-systole within the cycle (%)",
    "mass_agreement_pct": "Mass at ED against ES (%)",
    "stroke_agreement_pct": "Stroke volumes of LV and RV (%)",
    "ood": "Unlike the training scans",
    "label_risk": "Risk of wrong labels",
    "error_risk": "Risk of a wrong result",
    # biomarkers
    "lvm_g": "LV mass (g)",
    "lvm_es_g": "LV mass at ES (g)",
    "lvmi_g_m2": "LV mass index (g/m²)",
    "lvedvi_ml_m2": "LVEDV index (mL/m²)",
    "lvesvi_ml_m2": "LVESV index (mL/m²)",
    "lvsvi_ml_m2": "LVSV index (mL/m²)",
    "rvedvi_ml_m2": "RVEDV index (mL/m²)",
    "rvesvi_ml_m2": "RVESV index (mL/m²)",
    "rvsvi_ml_m2": "RVSV index (mL/m²)",
    "co_l_min": "Cardiac output (L/min)",
    "ci_l_min_m2": "Cardiac index (L/min/m²)",
    "hr_bpm": "Heart rate (bpm)",
    "wall_thickness_mean_mm": "Mean wall thickness (mm)",
    "wall_thickness_max_mm": "Largest wall thickness (mm)",
    "ed_frame": "Frame of ED",
    "es_frame": "Frame of ES",
    "n_slices_lv": "Slices with LV",
    "n_frames_measured": "Frames measured",
    "n_frames_without_heart": "Frames without labels",
    "n_slices_mended": "Slices repaired",
    "task_in_heart": "Share of the task inside the heart",
    "attribute_in_heart": "Share of the attribute inside the heart",
}
