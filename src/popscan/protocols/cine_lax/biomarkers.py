"""Numbers of long-axis planes: volumes of LV and atria, excursion of the mitral valve, length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popscan.columns import Column
from popscan.protocols.cine_lax.curves import Curves, Floats, View, curves_of, end_frames, view_of
from popscan.protocols.cine_lax.geometry import Ventricle
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, planes_of

_ASE = "Lang et al., JASE 2015, doi:10.1016/j.echo.2014.10.003"
_UKB = "as UK Biobank's atrial volumes, Bai et al. 2020, doi:10.1038/s41591-020-1009-y"
_GLS = "length of the outline, as Voigt et al. 2015, doi:10.1093/ehjci/jeu184, have global strain"
#: Sites of the mitral annulus: view -> the one to the right or in front, and its opposite.
SITES: Mapping[str, tuple[str, str]] = {
    "4ch": ("septal", "lateral"), "2ch": ("anterior", "inferior"),
}  # fmt: skip
#: Where a view has which site: the direction (RAS) that its first site lies in.
_FIRST_SITE = {"4ch": np.array([1.0, 0.0, 0.0]), "2ch": np.array([0.0, 1.0, 1.0])}


def _dictionary() -> dict[str, Column]:
    columns: dict[str, Column] = {}

    def ventricle(ending: str, words: str, source: str) -> None:
        for name, meaning in (("edv", "end-diastolic"), ("esv", "end-systolic"), ("sv", "stroke")):
            columns[f"lv{name}{ending}_ml"] = Column("mL", f"LV {meaning} volume, {words}", source)
        columns[f"lvef{ending}_pct"] = Column("%", f"LV ejection fraction, {words}", source)

    def atrium(side: str, ending: str, words: str, source: str) -> None:
        title = {"la": "Left", "ra": "Right"}[side] + " atrium"
        columns[f"{side}v_max{ending}_ml"] = Column(
            "mL", f"{title}, largest volume, {words}", source
        )
        columns[f"{side}v_min{ending}_ml"] = Column(
            "mL", f"{title}, smallest volume, {words}", source
        )
        columns[f"{side}sv{ending}_ml"] = Column(
            "mL", f"{title}, largest less smallest, {words}", source
        )
        columns[f"{side}ef{ending}_pct"] = Column(
            "%", f"{title}, emptying fraction, {words}", source
        )

    ventricle("", "biplane, Simpson's discs", _ASE)
    ventricle("_al", "biplane, area-length", _ASE)
    for view in PLANE_VIEWS:
        ventricle(f"_{view}", f"{view} alone, Simpson's discs", _ASE)
    atrium("la", "", "biplane, area-length", _UKB)
    atrium("la", "_discs", "biplane, Simpson's discs", _ASE)
    for view in PLANE_VIEWS:
        atrium("la", f"_{view}", f"{view} alone, area-length", _UKB)
    atrium("ra", "", "4ch alone, area-length", _UKB)
    for side, words in (("la", "Left"), ("ra", "Right")):
        columns[f"{side}v_max_index_ml_m2"] = Column(
            "mL/m2", f"{words} atrium, largest volume over body surface area", "Mosteller 1987"
        )
    columns["mapse_mm"] = Column(
        "mm", "Excursion of the mitral annulus along the long axis, mean over its sites",
        "own definition, from the ends of the valve's line at ED and ES",
    )  # fmt: skip
    for sites in SITES.values():
        for site in sites:
            columns[f"mapse_{site}_mm"] = Column(
                "mm", f"Excursion of the {site} mitral annulus along the long axis"
            )
    for phase in ("ed", "es"):
        columns[f"lv_length_{phase}_mm"] = Column(
            "mm", f"LV length at {phase.upper()}, mitral valve to endocardial apex, mean of views"
        )
    columns["long_axis_shortening_pct"] = Column(
        "%", "LV length lost from ED to ES, of that at ED", "own definition"
    )
    columns["gls_contour_pct"] = Column(
        "%", "Global longitudinal strain: change of the endocardium's length from ED to ES, of "
        "that at ED, mean of the views in which it can be measured; negative where it shortens",
        _GLS,
    )  # fmt: skip
    for view in PLANE_VIEWS:
        columns[f"gls_contour_{view}_pct"] = Column(
            "%", f"Global longitudinal strain by the endocardium's length, {view} alone", _GLS
        )
    columns["planes_angle_deg"] = Column("deg", "Angle between the 2ch and the 4ch plane")
    columns["ed_frame"] = Column("", "Frame of the largest LV volume, from 0")
    columns["es_frame"] = Column("", "Frame of the smallest LV volume, from 0")
    columns["n_views"] = Column("", "Views in which the LV was measured")
    return columns


DICTIONARY: Mapping[str, Column] = _dictionary()
#: Columns that the report lists apart: single planes, other formulas, sites.
DETAILS: Mapping[str, Column] = {
    name: column
    for name, column in DICTIONARY.items()
    if any(part in name for part in ("_2ch_", "_4ch_", "_al_", "_discs_"))
    or (name.startswith("mapse_") and name != "mapse_mm")
    or name in ("planes_angle_deg", "ed_frame", "es_frame", "n_views")
}


def measure(
    labels: ArrayLike,
    *,
    meta: Mapping[str, Any],
    orientation_known: bool = True,
    height_cm: float = math.nan,
    weight_kg: float = math.nan,
) -> dict[str, float]:
    """Measure the packed label maps of a visit.

    Biplane numbers are NaN where one view is missing or not labelled; the other view's are there.

    Parameters
    ----------
    labels : array_like, shape (x, y, planes, t)
        Codes of the protocol's label set; a plane without a chamber at a frame was not labelled
        there.
    meta
        Of the packed scan: see `popscan.protocols.cine_lax.planes`.
    orientation_known
        Whether affines say how the planes lie in the patient; without, sites are not named.
    height_cm, weight_kg
        Body size; NaN where it is not known.

    Raises
    ------
    SubjectError
        ``bad_sidecar`` where `meta` does not say where the planes lie.
    """
    array = np.asarray(labels, dtype=np.uint8)
    planes = planes_of(meta, array.shape)
    views = {plane.view: view_of(array, plane) for plane in planes}
    values = dict.fromkeys(DICTIONARY, math.nan)
    lv = {name: view.lv for name, view in views.items() if any(c is not None for c in view.lv)}
    la = {name: view.la for name, view in views.items() if any(c is not None for c in view.la)}
    ra = {name: view.ra for name, view in views.items() if any(c is not None for c in view.ra)}
    ventricle = curves_of(lv)
    values["n_views"] = float(len(lv))
    values |= _ventricle_values(ventricle)
    atrium = curves_of(la)
    values |= _atrium_values("la", "", atrium.area_length.get("biplane"))
    values |= _atrium_values("la", "_discs", atrium.discs.get("biplane"))
    for view in PLANE_VIEWS:
        values |= _atrium_values("la", f"_{view}", atrium.area_length.get(view))
    values |= _atrium_values("ra", "", curves_of(ra).area_length.get("4ch"))
    bsa_m2 = math.sqrt(height_cm * weight_kg / 3600.0) if height_cm * weight_kg > 0 else math.nan
    for side in ("la", "ra"):
        values[f"{side}v_max_index_ml_m2"] = values[f"{side}v_max_ml"] / bsa_m2
    if len(planes) == len(PLANE_VIEWS):
        values["planes_angle_deg"] = planes_angle_deg(*(plane.normal for plane in planes))
    ends = end_frames(leading(ventricle))
    if ends is not None:
        values["ed_frame"], values["es_frame"] = map(float, ends)
        values |= _length_values([views[name] for name in lv], ends, named=orientation_known)
    return values


def planes_angle_deg(first: Floats, second: Floats) -> float:
    """Angle between two planes by their unit normals, 0 to 90 degrees."""
    return math.degrees(math.acos(min(abs(float(first @ second)), 1.0)))


def leading(curves: Curves) -> Floats:
    """Return the volume curve that end-diastole and end-systole are taken from."""
    for name in ("biplane", *PLANE_VIEWS[::-1]):
        curve = curves.discs.get(name)
        if curve is not None and np.isfinite(curve).sum() >= 2:
            return curve
    return np.empty(0)


def _ventricle_values(curves: Curves) -> dict[str, float]:
    values: dict[str, float] = {}
    named = [("", curves.discs.get("biplane")), ("_al", curves.area_length.get("biplane"))]
    named += [(f"_{view}", curves.discs.get(view)) for view in PLANE_VIEWS]
    for ending, curve in named:
        ends = None if curve is None else end_frames(curve)
        if curve is None or ends is None:
            continue
        whole, rest = float(curve[ends[0]]), float(curve[ends[1]])
        values |= {
            f"lvedv{ending}_ml": whole, f"lvesv{ending}_ml": rest,
            f"lvsv{ending}_ml": whole - rest,
            f"lvef{ending}_pct": 100.0 * (whole - rest) / whole,
        }  # fmt: skip
    return values


def _atrium_values(side: str, ending: str, curve: Floats | None) -> dict[str, float]:
    ends = None if curve is None else end_frames(curve)
    if curve is None or ends is None:
        return {}
    most, least = float(curve[ends[0]]), float(curve[ends[1]])
    return {
        f"{side}v_max{ending}_ml": most, f"{side}v_min{ending}_ml": least,
        f"{side}sv{ending}_ml": most - least,
        f"{side}ef{ending}_pct": 100.0 * (most - least) / most,
    }  # fmt: skip


def _length_values(views: list[View], ends: tuple[int, int], *, named: bool) -> dict[str, float]:
    """Lengths and excursions from the views that show the ventricle at both ends of systole."""
    pairs = [(view.plane.view, view.lv[ends[0]], view.lv[ends[1]]) for view in views]
    both = [(name, ed, es) for name, ed, es in pairs if ed is not None and es is not None]
    if not both:
        return {}
    whole = float(np.mean([ed.length_mm for _, ed, _ in both]))
    short = float(np.mean([es.length_mm for _, _, es in both]))
    values = {
        "lv_length_ed_mm": whole, "lv_length_es_mm": short,
        "long_axis_shortening_pct": 100.0 * (whole - short) / whole,
    }  # fmt: skip
    strains = {
        f"gls_contour_{name}_pct": 100.0 * (es.endocardium_mm / ed.endocardium_mm - 1.0)
        for name, ed, es in both
    }
    values |= {**strains, "gls_contour_pct": _mean_of_known(strains.values())}
    sites: dict[str, float] = {}
    for name, ed, es in both:
        sites |= _excursions(name, ed, es)
    values["mapse_mm"] = float(np.mean(list(sites.values())))
    return {**values, **sites} if named else values


def _mean_of_known(values: Iterable[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


def _excursions(view: str, ed: Ventricle, es: Ventricle) -> dict[str, float]:
    """How far each end of the valve's line moves towards the apex, by site."""
    axis = (ed.apex_mm - ed.base_mm) / np.linalg.norm(ed.apex_mm - ed.base_mm)
    # Sites are matched across the valve; which is which follows from where they lie.
    across = ed.hinges_mm[0] - ed.hinges_mm[1]
    later = es.hinges_mm if (es.hinges_mm[0] - es.hinges_mm[1]) @ across > 0 else es.hinges_mm[::-1]
    moved = (later - ed.hinges_mm) @ axis
    first = 0 if across @ _FIRST_SITE[view] > 0 else 1
    names = SITES[view]
    return {
        f"mapse_{names[0]}_mm": float(moved[first]),
        f"mapse_{names[1]}_mm": float(moved[1 - first]),
    }
