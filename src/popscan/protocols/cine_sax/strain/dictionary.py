"""What the columns of the motion of a short-axis cine mean."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.columns import Column, text

_SOURCE = (
    "lengths of the wall tracked from end-diastole, relative to end-diastole (Lagrangian "
    "engineering strain); Voigt et al., J Am Soc Echocardiogr 2015;28:183, "
    "doi:10.1016/j.echo.2014.11.003"
)
_AHA = "Cerqueira et al., Circulation 2002;105:539, doi:10.1161/hc0402.102975"
_OWN = "popscan.protocols.cine_sax.strain"
_KINDS = {"gcs": "circumferential", "grs": "radial"}

_GLOBAL: dict[str, Column] = {}
for _short, _name in _KINDS.items():
    _GLOBAL |= {
        f"{_short}_peak_pct": Column(
            "%", f"peak global {_name} strain of the left-ventricular wall", _SOURCE
        ),
        f"{_short}_peak_low_pct": Column(
            "%",
            f"lower end of {_short}_peak_pct by the uncertainty of tracking and of the "
            "labels; fitted to eleven digital hearts alone (docs/motion.md)",
            _OWN,
        ),
        f"{_short}_peak_high_pct": Column(
            "%",
            f"upper end of {_short}_peak_pct by the uncertainty of tracking and of the "
            "labels; fitted to eleven digital hearts alone (docs/motion.md)",
            _OWN,
        ),
        f"{_short}_peak_se_pct": Column(
            "%",
            f"standard error of {_short}_peak_pct by the posterior of the tracked displacements; "
            "empty unless the method is bayesian (docs/motion.md)",
            _OWN,
        ),
        f"{_short}_peak_time_ms": Column(
            "ms", f"time from end-diastole to {_short}_peak_pct", _OWN
        ),
        f"{_short}_systolic_rate_per_s": Column(
            "1/s",
            f"fastest change of global {_name} strain between end-diastole and its peak",
            _SOURCE,
        ),
        f"{_short}_diastolic_rate_per_s": Column(
            "1/s",
            f"fastest change of global {_name} strain back within 35% of the cycle after its peak "
            "(early filling)",
            _SOURCE,
        ),
    }

#: Columns of the table `motion` that hold one number of the heart's motion.
MEASURED: Mapping[str, Column] = {
    **_GLOBAL,
    "radial_displacement_peak_mm": Column(
        "mm", "largest mean motion of the wall towards the middle of its slice", _OWN
    ),
    "wall_thickening_pct": Column(
        "%", "mean thickness of the segmented wall at end-systole relative to end-diastole",
        _OWN,
    ),
    "torsion_peak_deg_cm": Column(
        "deg/cm",
        "largest difference of rotation between apical and basal third over their distance, "
        "counter-clockwise as seen from the apex; empty where labels were tracked, which hold no "
        "mark of rotation, and without both thirds",
        _OWN,
    ),
    "longitudinal_displacement_peak_mm": Column(
        "mm",
        "largest motion along the stack of the most basal whole ring that stays in it, from the "
        "volume of the wall below it, which muscle keeps",
        _OWN,
    ),
    **{
        f"{short}_aha{number:02d}_peak_pct": Column(
            "%", f"peak {name} strain of segment {number}", f"{_SOURCE}; {_AHA}"
        )
        for short, name in (("ecc", "circumferential"), ("err", "radial"))
        for number in range(1, 17)
    },
}  # fmt: skip
#: All columns of the table `motion`.
DICTIONARY: Mapping[str, Column] = {
    **MEASURED,
    "tracked_slices": Column("slices", "slices in which the wall was tracked", "count"),
    "slices_followed": Column(
        "",
        "1 if strain is that of the tissue of a slice, 0 of what the slice shows (no apex)",
        _OWN,
    ),
    "closing_error_mm": Column(
        "mm",
        "mean distance of the outlines, after steps round the cycle, from where they began",
        _OWN,
    ),
    "folding_share": Column("", "share of the wall's pixels whose field folds, all frames", _OWN),
    "contour_error_mm": Column(
        "mm", "mean distance of tracked from segmented outlines, all frames", _OWN
    ),
    "fields_mb": Column("MB", "size of the displacements as they are stored", "count"),
}
#: Columns of the table `motion_segments`.
ROWS: Mapping[str, Column] = {
    "segment": Column("", "segment of the left ventricle, 1 to 16", _AHA),
    "name": text("name of the segment"),
    "circumferential_peak_pct": Column("%", "peak circumferential strain", _SOURCE),
    "circumferential_peak_time_ms": Column("ms", "time from end-diastole to it", _OWN),
    "radial_peak_pct": Column("%", "peak radial strain", _SOURCE),
    "radial_peak_time_ms": Column("ms", "time from end-diastole to it", _OWN),
}
