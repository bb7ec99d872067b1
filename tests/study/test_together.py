"""Long and short axis of simulated hearts on disk: what needs the labels of both."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from popscan.plan import Planned, write_plan
from popscan.protocols import get_protocol
from popscan.protocols.cine_lax.biomarkers import measure as measure_planes
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.biomarkers.sax import measure as measure_stack
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.records import NotApplicable, Outcome, Subject
from popscan.run import run_shard
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.tables import read_table, write_table
from popscan.study.together import dictionary, together
from popscan.task import Task

GRID = {"matrix": (96, 96), "spacing_mm": (2.6, 2.6), "frames": 4}
SUBJECTS = [Subject(sub="sub-1", ses="ses-2"), Subject(sub="sub-2")]
BESIDE = {name: get_protocol(name).beside for name in ("cine_sax", "cine_lax")}


def part(root, protocol: str, made: dict) -> None:
    """Write what ingest, reconstruct and segment leave of both subjects."""
    store = Store(root)
    planned = [Planned(subject=subject) for subject in SUBJECTS]
    write_plan(root, planned, shard_size=1)
    for shard, one in zip(("00000", "00001"), planned, strict=True):
        names = ShardContext(store=store, shard=shard, options={"protocol": protocol}).names

        def ingested(subject, _, names=names):
            return Outcome(files={names.image(subject): made[subject.unit].scan})

        def labelled(subject, _, names=names):
            one = made[subject.unit]
            return Outcome(files={names.labels(subject): (one.labels, one.scan)})

        def nothing(subject, _):
            raise NotApplicable("no_kspace", "images")

        for stage, work in (
            ("ingest", ingested), ("reconstruct", nothing), ("segment", labelled),
        ):  # fmt: skip
            task = Task(
                stage=stage, version="1", options={}, reads=lambda s: {}, load=lambda s: None,
                work=work, write=names.write,
            )  # fmt: skip
            run_shard(store, task, shard, [one])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    people = sample_population(2, seed=1).to_dict("records")
    units = [subject.unit for subject in SUBJECTS]
    planes = {
        u: simulate_subject(row, seed=1, **GRID) for u, row in zip(units, people, strict=True)
    }
    stacks = {
        u: short_axis(row, seed=1, kspace=False, **GRID)
        for u, row in zip(units, people, strict=True)
    }
    parts = {"cine_sax": root / "cine_sax", "cine_lax": root / "cine_lax"}
    part(parts["cine_sax"], "cine_sax", stacks)
    part(parts["cine_lax"], "cine_lax", planes)
    rows = []
    for unit in units:
        own = measure_planes(planes[unit].labels.array, meta=planes[unit].scan.meta)
        other = measure_stack(stacks[unit].labels.array, spacing_mm=stacks[unit].scan.spacing_mm)
        rows.append(
            {"unit": unit, **{f"cine_lax_{k}": v for k, v in own.items()},
             **{f"cine_sax_{k}": v for k, v in other.items()}}
        )  # fmt: skip
    return root, parts, pd.DataFrame(rows)


def test_each_visit_is_measured_with_the_labels_of_both_and_written(study):
    root, parts, biomarkers = study
    table = together(parts, biomarkers, beside=BESIDE)
    assert table["unit"].tolist() == [subject.unit for subject in SUBJECTS]
    assert (table["reason"] == "").all()
    ratio = table["lvedv_to_valve_ml"] / biomarkers["cine_sax_lvedv_ml"]
    assert ratio.between(0.8, 1.25).all()
    assert (table["sax_beyond_base_ed_ml"] >= 0).all()
    write_table(root, "together", table, dictionary(BESIDE))
    pd.testing.assert_frame_equal(read_table(root, "together"), table, check_dtype=False)


def test_what_did_not_change_is_not_read_again(study, monkeypatch):
    _, parts, biomarkers = study
    before = together(parts, biomarkers, beside=BESIDE)

    def never(*_, **__):
        raise AssertionError("read")

    monkeypatch.setattr("popscan.study.together.scan_and_labels", never)
    again = together(parts, biomarkers, beside=BESIDE, earlier=before)
    pd.testing.assert_frame_equal(again, before)
    other = biomarkers.assign(cine_lax_ed_frame=biomarkers["cine_lax_ed_frame"] + 1)
    with pytest.raises(AssertionError, match="read"):
        together(parts, other, beside=BESIDE, earlier=before)


def test_a_visit_that_one_protocol_did_not_analyse_has_no_row(study):
    _, parts, biomarkers = study
    one = biomarkers.copy()
    one.loc[0, [c for c in one if c.startswith("cine_sax_")]] = math.nan
    table = together(parts, one, beside=BESIDE)
    assert table["unit"].tolist() == ["sub-2"]
    assert together({"cine_lax": parts["cine_lax"]}, one, beside=BESIDE).empty


def test_files_that_are_gone_are_a_reason_and_no_number(study):
    root, parts, biomarkers = study
    (lost,) = [p for p in (root / "cine_lax").rglob("*dseg.nii.gz") if "sub-2" in p.name]
    away = lost.rename(lost.with_suffix(".gone"))
    table = together(parts, biomarkers, beside=BESIDE).set_index("unit")
    away.rename(lost)
    assert table["reason"].to_dict() == {"sub-1_ses-2": "", "sub-2": "upstream_lost"}
    assert math.isnan(table.loc["sub-2", "lvedv_to_valve_ml"])
    assert table.loc["sub-2", "inputs"] == ""
