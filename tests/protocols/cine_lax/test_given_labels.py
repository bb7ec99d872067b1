"""Long-axis labels and images that were mixed up do not pass, and right ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocols.cine_lax.labels import LA, LV, RA, RV
from popscan.protocols.cine_lax.planes import pack
from popscan.protocols.cine_lax.qc import CHECKS, PlanesContext
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.qc import run_checks
from popscan.records import LabelMap

FRAMES = 16


@pytest.fixture(scope="module")
def visits():
    """Two digital hearts: scan and labels of each."""
    people = [row.to_dict() for _, row in sample_population(2, seed=4).iterrows()]
    made = [simulate_subject(row, seed=4, frames=FRAMES, fine=(1, 2)) for row in people]
    return [(one.scan, one.labels) for one in made]


def verdicts(scan, codes) -> dict[str, str]:
    checks = run_checks(CHECKS, PlanesContext(scan, np.ascontiguousarray(codes)))
    return {check.name: str(check.verdict) for check in checks}


def views(scan, labels):
    """Scans and label maps of the planes, as a source reads them."""
    scans, maps = {}, {}
    for at, plane in enumerate(scan.meta["planes"]):
        meta = {key: value for key, value in scan.meta.items() if key != "planes"}
        one = replace(scan, array=scan.array[:, :, at : at + 1], meta=meta,
                      affine=np.asarray(plane["affine"]), view=plane["view"])  # fmt: skip
        scans[plane["view"]] = one
        maps[plane["view"]] = LabelMap(array=labels.array[:, :, at : at + 1], frames=labels.frames)
    return scans, maps


def test_right_labels_pass(visits):
    for scan, labels in visits:
        found = verdicts(scan, labels.array)
        assert {n for n, v in found.items() if v not in ("pass", "not_assessed")} <= {"lvef_pct"}
        for name in ("label_misfit_pct", "label_share_pct", "label_frames_off_pct",
                     "views_late_pct", "views_cycle_pct", "right_heart_2ch_pct"):  # fmt: skip
            assert found[name] == "pass"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda codes: np.roll(codes, 4, axis=0), "label_misfit_pct"),
        (lambda codes: np.roll(codes, 5, axis=1), "label_misfit_pct"),
        (lambda codes: codes[::-1], "label_misfit_pct"),
        (lambda codes: codes[:, ::-1], "label_misfit_pct"),
        (lambda codes: np.roll(codes, 3, axis=3), "label_frames_off_pct"),
        (lambda codes: np.roll(codes, FRAMES // 2, axis=3), "label_frames_off_pct"),
        (lambda codes: codes[..., ::-1], "label_frames_off_pct"),
        (lambda codes: codes[:, :, ::-1], "right_heart_2ch_pct"),
    ],
)
def test_labels_that_do_not_belong_to_the_images_are_seen(visits, change, check):
    scan, labels = visits[0]
    assert verdicts(scan, change(labels.array))[check] == "review"


def test_labels_of_another_subject_are_seen(visits):
    (scan, _), (_, other) = visits
    found = verdicts(scan, other.array)
    assert "review" in (found["label_misfit_pct"], found["label_share_pct"])


def test_exchanged_chambers_are_seen(visits):
    scan, labels = visits[0]
    for pairs in ({LV: RV, RV: LV, LA: RA, RA: LA}, {LV: LA, LA: LV, RV: RA, RA: RV}, {LA: RA}):
        table = np.arange(256, dtype=np.uint8)
        for old, new in pairs.items():
            table[old] = new
        found = verdicts(scan, table[labels.array])
        assert {"review", "fail"} & set(found.values())


def test_views_of_different_cycles_are_seen(visits):
    scan, labels = visits[0]
    scans, maps = views(scan, labels)
    half = FRAMES // 2
    late = {**scans, "2ch": replace(scans["2ch"], array=np.roll(scans["2ch"].array, half, axis=3))}
    late_maps = {**maps, "2ch": LabelMap(
        array=np.roll(maps["2ch"].array, half, axis=3), frames=maps["2ch"].frames)}  # fmt: skip
    packed, codes = pack(late, late_maps)
    found = verdicts(packed, codes.array)
    assert found["views_late_pct"] == "review"
    assert found["label_frames_off_pct"] == "pass"
    two = scans["2ch"]
    slow = replace(two, frame_times_ms=1.5 * two.frame_times_ms,
                   meta={**two.meta, "rr_ms": 1.5 * two.meta["rr_ms"]})  # fmt: skip
    packed, codes = pack({**scans, "2ch": slow}, maps)
    assert verdicts(packed, codes.array)["views_cycle_pct"] == "review"
    packed, codes = pack({"2ch": scans["4ch"], "4ch": scans["2ch"]},
                         {"2ch": maps["4ch"], "4ch": maps["2ch"]})  # fmt: skip
    assert verdicts(packed, codes.array)["right_heart_2ch_pct"] == "review"


def test_one_view_and_labels_of_two_frames_are_assessed_as_far_as_they_go(visits):
    scan, labels = visits[0]
    scans, maps = views(scan, labels)
    packed, codes = pack({"4ch": scans["4ch"]}, {"4ch": maps["4ch"]})
    found = verdicts(packed, codes.array)
    assert found["views_late_pct"] == found["views_cycle_pct"] == "not_assessed"
    assert found["right_heart_2ch_pct"] == "not_assessed"
    assert found["label_frames_off_pct"] == "pass"
    few = np.zeros_like(labels.array)
    few[..., (0, 6)] = labels.array[..., (0, 6)]
    assert verdicts(scan, few)["label_frames_off_pct"] == "pass"
    few[..., (0, 6)] = labels.array[..., (6, 0)]
    assert verdicts(scan, few)["label_frames_off_pct"] == "review"
