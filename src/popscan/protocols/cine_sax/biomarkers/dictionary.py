"""Data dictionary of the biomarkers: unit, meaning and source of every column."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column

_SCMR = (
    "Schulz-Menger et al., J Cardiovasc Magn Reson 2020;22:19, doi:10.1186/s12968-020-00610-6 "
    "(summation of discs; papillary muscles as labelled)"
)
_PETERSEN = (
    "Petersen et al., J Cardiovasc Magn Reson 2017;19:18, doi:10.1186/s12968-017-0327-9 "
    "(UK Biobank reference ranges)"
)
_MOSTELLER = "Mosteller, N Engl J Med 1987;317:1098, doi:10.1056/NEJM198710223171717"
_DENSITY = "myocardial density 1.05 g/mL; " + _SCMR
_WALL = (
    "area over mid-wall length per slice (Steiner formula); sector distances after the centreline "
    "idea of Sheehan et al., Circulation 1986;74:293, doi:10.1161/01.CIR.74.2.293"
)

_MEASURED: dict[str, Column] = {
    "lvedv_ml": Column("mL", "LV cavity volume at end-diastole", _SCMR),
    "lvesv_ml": Column("mL", "LV cavity volume at end-systole", _SCMR),
    "lvsv_ml": Column("mL", "LV stroke volume: lvedv_ml - lvesv_ml", _SCMR),
    "lvef_pct": Column("%", "LV ejection fraction: 100 lvsv_ml / lvedv_ml", _SCMR),
    "lvm_g": Column("g", "LV myocardial mass at end-diastole", _DENSITY),
    "lvm_es_g": Column(
        "g",
        "LV myocardial mass at end-systole; muscle keeps its mass, so a check of lvm_g",
        _DENSITY,
    ),
    "rvedv_ml": Column("mL", "RV cavity volume at the LV's end-diastolic frame", _SCMR),
    "rvesv_ml": Column("mL", "RV cavity volume at the LV's end-systolic frame", _SCMR),
    "rvsv_ml": Column("mL", "RV stroke volume: rvedv_ml - rvesv_ml", _SCMR),
    "rvef_pct": Column("%", "RV ejection fraction: 100 rvsv_ml / rvedv_ml", _SCMR),
    "wall_thickness_mean_mm": Column(
        "mm", "Mean end-diastolic LV wall thickness over the middle half of the slices", _WALL
    ),
    "wall_thickness_max_mm": Column(
        "mm", "Largest sector mean (12 per slice) of end-diastolic LV wall thickness", _WALL
    ),
}

_INDEXED: dict[str, Column] = {
    f"{name.rsplit('_', 1)[0]}i_{unit}_m2": Column(
        f"{label}/m2", f"{name} divided by bsa_m2", f"{_PETERSEN}; {_MOSTELLER}"
    )
    for name, unit, label in (
        ("lvedv_ml", "ml", "mL"),
        ("lvesv_ml", "ml", "mL"),
        ("lvsv_ml", "ml", "mL"),
        ("lvm_g", "g", "g"),
        ("rvedv_ml", "ml", "mL"),
        ("rvesv_ml", "ml", "mL"),
        ("rvsv_ml", "ml", "mL"),
    )
}

_OTHER: dict[str, Column] = {
    "bsa_m2": Column("m2", "Body surface area from height and weight", _MOSTELLER),
    "bmi_kg_m2": Column(
        "kg/m2",
        "Body mass index: weight over height squared",
        "Keys et al., J Chronic Dis 1972;25:329, doi:10.1016/0021-9681(72)90027-6",
    ),
    "hr_bpm": Column(
        "1/min",
        "Heart rate: 60000 over the RR interval in ms, or over the time that the frames cover",
        "definition",
    ),
    "co_l_min": Column("L/min", "Cardiac output of the LV: lvsv_ml x hr_bpm / 1000", _SCMR),
    "ci_l_min_m2": Column("L/min/m2", "Cardiac index: co_l_min divided by bsa_m2", _SCMR),
    "ed_frame": Column(
        "frame index from 0",
        "End-diastolic frame: as named, else largest LV volume of the smoothed curve",
        _SCMR,
    ),
    "es_frame": Column(
        "frame index from 0",
        "End-systolic frame: as named, else smallest LV volume of the smoothed curve",
        _SCMR,
    ),
    "n_frames_measured": Column(
        "frames", "Frames in which an LV cavity was labelled", "count of labels"
    ),
    "n_slices_lv": Column("slices", "Slices with LV cavity at end-diastole", "count of labels"),
}

#: Column -> (unit, meaning, source), in the order in which `measure` returns them.
DICTIONARY: Mapping[str, Column] = {**_MEASURED, **_INDEXED, **_OTHER}

#: Columns that are indexed by body surface area: indexed name -> name of the absolute one.
INDEXED: Mapping[str, str] = {
    name: name.replace("i_ml_m2", "_ml").replace("i_g_m2", "_g") for name in _INDEXED
}
