"""UK Biobank's 82 cardiac imaging fields (category 157) and where popscan has them.

The fields 24100 to 24181 are those of ukbb_cardiac (Bai et al., Nat Med 2020;26:1654,
doi:10.1038/s41591-020-1009-y), in the order of its tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from popscan.protocols.cine_sax.aha import SEGMENTS

_ATRIA = (
    "protocol `cine_lax` has it as `{}`, from labels that come with the images or of a model that "
    "never saw a labelled long-axis image of a patient"
)
_AORTA = {
    "maximum area": "protocol `flow_2d` has it as `{}_area_max_cm2` in a phase-contrast plane, "
    "from regions that come with the images; UK Biobank's is of a cine, which is not read",
    "minimum area": "protocol `flow_2d` has it as `{}_area_min_cm2`, likewise",
    "distensibility": "`{}_area_strain_pct` of protocol `flow_2d` over the pulse pressure, which "
    "is not in the images",
}
_SEGMENT_STRAIN = "needs the myocardium on two- and four-chamber views, which is not segmented"
_LONG_AXIS_STRAIN = (
    "protocol `cine_lax` has `gls_contour_pct`, by the length of the endocardium in labels that "
    "come with the images; UK Biobank's follows points of the wall"
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of UK Biobank.

    Attributes
    ----------
    number, title
        As in UK Biobank's showcase.
    column
        popscan's column; empty where there is none.
    table
        The table that it is in.
    reason
        Why there is none, or in what the two differ.
    """

    number: int
    title: str
    column: str = ""
    table: str = "biomarkers"
    reason: str = ""


_ED_0 = "popscan finds end-diastole on the curve, ukbb_cardiac takes frame 0"
_VENTRICLES = (
    ("LV end diastolic volume", "lvedv_ml", _ED_0),
    ("LV end systolic volume", "lvesv_ml", "of the smoothed curve's smallest volume"),
    ("LV stroke volume", "lvsv_ml", ""),
    ("LV ejection fraction", "lvef_pct", ""),
    ("LV cardiac output", "co_l_min", "heart rate from RR interval or frame times"),
    ("LV myocardial mass", "lvm_g", "1.05 g/mL in both"),
    ("RV end diastolic volume", "rvedv_ml", "at the LV's end-diastole"),
    ("RV end systolic volume", "rvesv_ml", "at the LV's end-systole"),
    ("RV stroke volume", "rvsv_ml", ""),
    ("RV ejection fraction", "rvef_pct", ""),
)
_ATRIAL = tuple(
    (f"{side} {what}", _ATRIA.format(side.lower() + column))
    for side in ("LA", "RA")
    for what, column in (
        ("maximum volume", "v_max_ml"), ("minimum volume", "v_min_ml"),
        ("stroke volume", "sv_ml"), ("ejection fraction", "ef_pct"),
    )
)  # fmt: skip
_AORTIC = tuple(
    (f"{part} aorta {what}", why.format(vessel))
    for part, vessel in (("Ascending", "aorta"), ("Descending", "desc_aorta"))
    for what, why in _AORTA.items()
)
_THICKNESS = "field lines instead of nearest points, which read 0.3 mm less (docs/wall.md)"
_STRAIN = "where the stage motion is enabled; tracking and peak differ, see docs/motion.md"


def _fields() -> tuple[Field, ...]:
    rows: list[tuple[str, str, str]] = list(_VENTRICLES)
    strain = {"circumferential": ("ecc", "gcs"), "radial": ("err", "grs")}
    rows += [(title, "", why) for title, why in _ATRIAL]
    rows += [(title, "", why) for title, why in _AORTIC]
    rings = [s for s in SEGMENTS if s != 17]
    wall = "LV mean myocardial wall thickness"
    rows += [(f"{wall} AHA {s}", f"wall_ed_aha{s:02d}_mm", _THICKNESS) for s in rings]
    rows.append((f"{wall} global", "wall_ed_global_mm", _THICKNESS))
    for kind, (own, whole) in strain.items():
        rows += [
            (f"LV {kind} strain AHA {s}", f"{own}_aha{s:02d}_peak_pct", _STRAIN) for s in rings
        ]
        rows.append((f"LV {kind} strain global", f"{whole}_peak_pct", _STRAIN))
    rows += [(f"LV longitudinal strain Segment {s}", "", _SEGMENT_STRAIN) for s in range(1, 7)]
    rows.append(("LV longitudinal strain global", "", _LONG_AXIS_STRAIN))
    return tuple(
        Field(
            number=24100 + i,
            title=title,
            column=column,
            table="motion" if reason == _STRAIN else "biomarkers",
            reason=reason,
        )
        for i, (title, column, reason) in enumerate(rows)
    )


#: All 82, in order.
FIELDS: tuple[Field, ...] = _fields()
