"""Long and short axis of simulated hearts on disk: what needs the labels of both."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from popscan.columns import entries
from popscan.commands.joining import join_study
from popscan.plan import Planned, write_plan
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.protocols.cine_lax.biomarkers import measure as measure_planes
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.biomarkers.sax import measure as measure_stack
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject as short_axis
from popscan.records import NotApplicable, Outcome, PopscanError, Subject
from popscan.run import run_shard
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.joining_options import joined_options
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


def collected(root, protocol: str, values: pd.DataFrame) -> None:
    """Write the tables and the provenance of a part."""
    tables = root / "tables"
    tables.mkdir(exist_ok=True)
    units = [subject.unit for subject in SUBJECTS]
    ledger = [
        {"unit": unit, "stage": stage, "status": "ok", "reason": "", "message": ""}
        for unit in units
        for stage in ("ingest", "biomarkers")
    ]
    pd.DataFrame(ledger).to_parquet(tables / "ledger.parquet")
    people = {"unit": units, "sub": [s.sub for s in SUBJECTS], "ses": [s.ses for s in SUBJECTS]}
    pd.DataFrame(people).assign(sex="female").to_parquet(tables / "participants.parquet")
    columns = load(get_protocol(protocol).biomarkers.dictionary)
    start = f"{protocol}_"
    own = values.filter(regex=f"^(unit$|{start})").rename(columns=lambda c: c.removeprefix(start))
    own = own[["unit", *(c for c in own if c in columns)]].assign(analysed=True)
    own.to_parquet(tables / "biomarkers.parquet")
    known = entries([c for c in own if c in columns], columns)
    (tables / "biomarkers.json").write_text(json.dumps(known))
    (root / "provenance.json").write_text(json.dumps({"config": {"protocol": protocol}}))


def test_the_joined_study_says_which_visit_is_to_be_looked_at(study):
    """The short axis of sub-2 says 40% more than its labels: as if one more slice were counted."""
    root, parts, biomarkers = study
    wrong = biomarkers.copy()
    wrong.loc[1, "cine_sax_lvedv_ml"] *= 1.4
    for name, folder in parts.items():
        collected(folder, name, wrong)
    page = parts["cine_sax"] / "report" / "subjects" / "sub-2.html"
    page.parent.mkdir(parents=True)
    page.touch()
    front = join_study(root, list(parts)).read_text(encoding="utf-8")
    subjects = read_table(root, "subjects").set_index("unit")
    assert subjects["agreement"].to_dict() == {"sub-1_ses-2": "pass", "sub-2": "review"}
    assert "lvedv_ml" in subjects.loc["sub-2", "agreement_reason"]
    visits = read_table(root, "agreement_visits").set_index(["unit", "column"])
    assert visits.loc[("sub-2", "lvedv_ml"), "verdict"] == "review"
    assert len(visits) == 6
    assert 'href="../cine_sax/report/subjects/sub-2.html"' in front
    assert "popscan review STUDY/cine_lax --subjects sub-2" in front
    together_table = read_table(root, "together")
    assert (together_table["reason"] == "").all()
    again = join_study(root, list(parts)).read_text(encoding="utf-8")
    assert again == front
    pd.testing.assert_frame_equal(read_table(root, "together"), together_table)


def test_one_visit_that_cannot_be_measured_does_not_end_the_join(study, monkeypatch):
    _, parts, biomarkers = study
    more = pd.concat([biomarkers, biomarkers.tail(1).assign(unit="sub-9")], ignore_index=True)
    table = together(parts, more, beside=BESIDE).set_index("unit")
    assert table["reason"].to_dict() == {"sub-1_ses-2": "", "sub-2": "", "sub-9": "not_planned"}
    far = biomarkers.assign(cine_lax_es_frame=[99.0, 1.0])
    table = together(parts, far, beside=BESIDE).set_index("unit")
    assert table["reason"].tolist() == ["no_such_frame", ""]

    def broken(*_):
        raise IndexError("a slip")

    monkeypatch.setattr("popscan.study.together.load", lambda where: broken)
    monkeypatch.setattr(type(BESIDE["cine_lax"][0]), "columns", lambda _: {"x_ml": None})
    assert set(together(parts, biomarkers, beside=BESIDE)["reason"]) == {"unexpected_error"}


def test_a_part_without_biomarkers_is_named(study):
    root, parts, biomarkers = study
    for name, folder in parts.items():
        collected(folder, name, biomarkers)
    path = parts["cine_lax"] / "tables" / "biomarkers.parquet"
    path.rename(path.with_suffix(".gone"))
    with pytest.raises(PopscanError, match="cine_lax: no table biomarkers"):
        join_study(root, list(parts))
    path.with_suffix(".gone").rename(path)


def test_tables_that_a_run_does_not_make_go(study):
    """Without the second protocol, its visits to be looked at stayed, as if of this run."""
    root, parts, biomarkers = study
    for name, folder in parts.items():
        collected(folder, name, biomarkers)
    names = ("agreement", "agreement_visits", "together")
    join_study(root, list(parts))
    assert all((root / "tables" / f"{name}.parquet").exists() for name in names)
    described = json.loads((root / "tables" / "agreement_visits.json").read_text())
    assert "40 simulated hearts" in described["low"]["source"]
    join_study(root, ["cine_sax"])
    left = [path.name for name in names for path in (root / "tables").glob(f"{name}.*")]
    assert left == []


def test_joining_hangs_on_what_protocols_declare(monkeypatch):
    before = joined_options(["cine_sax", "cine_lax"])
    assert before == joined_options(["cine_sax", "cine_lax"])
    (one,) = BESIDE["cine_lax"]
    limits = (replace(one.limits[0], high=one.limits[0].high + 1), *one.limits[1:])
    seen = {before["beside"]}
    for other in (replace(one, version="99"), replace(one, limits=limits)):
        changed = replace(get_protocol("cine_lax"), beside=(other,))
        with monkeypatch.context() as patched:
            patched.setattr(
                "popscan.study.joining_options.get_protocol",
                lambda name, changed=changed: changed if name == "cine_lax" else get_protocol(name),
            )
            seen.add(joined_options(["cine_sax", "cine_lax"])["beside"])
    assert len(seen) == 3
