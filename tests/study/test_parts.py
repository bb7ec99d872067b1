"""Several protocols in one study: config of each part, folders, and the account of all subjects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from popscan.columns import Column
from popscan.commands.configfile import ConfigError, loaded_problems, read_studies
from popscan.config.several import part_configs
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.report.front import Part, write_front_page
from popscan.study.agreeing import AGREEMENT, agreement
from popscan.study.joined import join_parts, write_joined
from popscan.study.parts import check_folder, known_studies, parts_of
from popscan.study.study import Study
from popscan.study.withdraw_parts import withdraw_everywhere

TWO = ["cine_sax", "brain_t1"]


def test_parts_share_all_but_what_is_said_of_one():
    config = {
        "protocol": TWO,
        "study": {"name": "both", "results": "out", "seed": 7},
        "source": {"kind": "bids", "root": "raw"},
        "protocols": {"brain_t1": {"source": {"root": "other"}, "plan": {"shard_size": 8}}},
    }
    before = json.dumps(config)
    heart, brain = part_configs(config).values()
    assert json.dumps(config) == before
    assert heart["study"] == {
        "name": "cine_sax",
        "results": "out/both",
        "seed": 7,
        "part_of": "both",
    }
    assert (heart["source"]["root"], brain["source"]["root"]) == ("raw", "other")
    assert brain["source"]["kind"] == "bids"
    assert brain["plan"] == {"shard_size": 8}
    assert "plan" not in heart
    assert "protocols" not in brain


def test_mappings_within_mappings_of_one_part_join_the_shared_ones():
    config = {
        "protocol": TWO,
        "cohort": {"plausible": {"age_years": [0, 120]}},
        "fairness": {"reference": {"sex": "male", "site": "A"}, "attributes": ["sex"]},
        "protocols": {"brain_t1": {"fairness": {"reference": {"site": "B"}, "attributes": []}}},
    }
    heart, brain = part_configs(config).values()
    assert heart["fairness"] == config["fairness"]
    assert brain["fairness"] == {"reference": {"sex": "male", "site": "B"}, "attributes": []}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"protocol": []}, "a list of names"),
        ({"protocol": ["cine_sax", "cine_sax"]}, "there twice"),
        ({"protocol": ["cine_sax", 3]}, "a list of names"),
        ({"protocol": ["cine_sax", "report"]}, "name of a folder"),
        ({"protocol": ["cine_sax", "no_organ"]}, "there is none of this name"),
        ({"protocol": TWO, "protocols": {"lung": {}}}, "protocols.lung"),
        ({"protocol": TWO, "protocols": {"brain_t1": {"cohort": {}}}}, "share this"),
        ({"protocol": TWO, "protocols": {"brain_t1": 3}}, "mapping of sections"),
        ({"protocol": TWO, "protocols": {"brain_t1": {"segmnt": {}}}}, "segmnt: unknown key"),
        ({"protocol": TWO, "experiment": {"attribute": "sex"}}, "experiment has one protocol"),
        ({"protocol": TWO, "study": "mine"}, "a section with keys"),
        ({"protocol": TWO, "experiment": ["sex"]}, "a section with keys"),
        ({"protocol": "cine_sax", "protocols": {"cine_sax": {}}}, "list of protocols only"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(tmp_path, config, said):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    problems = loaded_problems(config, [path])
    assert len(problems) == 1
    assert said in problems[0]


def test_a_problem_that_all_parts_share_is_said_once(tmp_path):
    config = {"protocol": TWO, "plan": {"shard_size": "many"}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    (problem,) = loaded_problems(config, [path])
    assert "plan.shard_size" in problem
    assert "protocol " not in problem
    assert list(read_studies(path)) == TWO
    path.write_text("protocol: []")
    with pytest.raises(ConfigError, match="list of names"):
        read_studies(path)


def registry(folder: Path, units: list[str]) -> None:
    (folder / "plan" / "shards").mkdir(parents=True)
    lines = [f"{unit}\t{unit}\t\t00000\n" for unit in units]
    (folder / "plan" / "registry.tsv").write_text("unit\tsub\tses\tshard\n" + "".join(lines))


def test_results_of_one_and_of_several_protocols_do_not_mix(tmp_path):
    one, both = tmp_path / "one", tmp_path / "both"
    registry(one, ["sub-1"])
    for name in TWO:
        registry(both / name, ["sub-1"])
    assert parts_of(one) == [one]
    assert parts_of(both) == [both / "brain_t1", both / "cine_sax"]
    assert known_studies(tmp_path) == [both, one]
    check_folder(one, [])
    check_folder(both, TWO)
    check_folder(tmp_path / "new", TWO)
    for folder, protocols in ((one, TWO), (both, []), (both, ["cine_sax"])):
        with pytest.raises(PopscanError, match="another name"):
            check_folder(folder, protocols)


def test_a_subject_leaves_every_part_that_has_it_or_none(tmp_path):
    parts = [tmp_path / name for name in TWO]
    for part, units in zip(parts, (["sub-1", "sub-2"], ["sub-2", "sub-3"]), strict=True):
        registry(part, units)
    (tmp_path / "tables").mkdir()
    with pytest.raises(PopscanError, match="not in the study: sub-9"):
        withdraw_everywhere(parts, ["sub-2", "sub-9"])
    assert (tmp_path / "tables").exists()
    done = withdraw_everywhere(parts, ["sub-2", "3"])
    assert {part.name: one.n_visits for part, one in done.items()} == {"cine_sax": 1, "brain_t1": 2}
    assert not (tmp_path / "tables").exists()
    for part in parts:
        assert "sub-2" not in (part / "plan" / "registry.tsv").read_text()


def part(root: Path, units: dict[str, str], sex: list[str]) -> Study:
    """Two stages; the status of a subject is that of its second."""
    tables = root / "tables"
    tables.mkdir(parents=True)
    rows = [
        {
            "unit": u,
            "stage": stage,
            "status": s,
            "reason": "" if s == "ok" else "why",
            "message": "",
        }
        for stage in ("ingest", "biomarkers")
        for u, s in ((u, "ok" if stage == "ingest" else s) for u, s in units.items())
    ]
    pd.DataFrame(rows).to_parquet(tables / "ledger.parquet")
    people = pd.DataFrame({"unit": list(units), "sub": list(units), "ses": "", "sex": sex})
    people.to_parquet(tables / "participants.parquet")
    ok = [unit for unit, status in units.items() if status == "ok"]
    pd.DataFrame({"unit": ok, "size_ml": 10.0, "analysed": True}).to_parquet(
        tables / "biomarkers.parquet"
    )
    entry = {"unit": "mL", "meaning": "size", "source": "popscan", "kind": "number"}
    (tables / "biomarkers.json").write_text(json.dumps({"unit": entry, "size_ml": entry}))
    return Study.of_tables(root, {"protocol": "cine_sax"})


def test_the_account_has_every_subject_once_per_stage_and_protocol(tmp_path):
    first = part(tmp_path / "a", {"sub-1": "ok", "sub-2": "failed"}, ["female", "male"])
    second = part(tmp_path / "b", {"sub-2": "ok", "sub-3": "ok"}, ["female", "male"])
    joined = join_parts({"a": first, "b": second})
    assert len(joined.ledger) == 3 * 2 * 2
    assert not joined.ledger.duplicated(["unit", "protocol", "stage"]).any()
    absent = joined.ledger[(joined.ledger["unit"] == "sub-3") & (joined.ledger["protocol"] == "a")]
    assert set(absent["status"]) == {"not_applicable"}
    assert set(absent["reason"]) == {"no_images"}
    subjects = joined.subjects.set_index("unit")
    assert list(subjects["n_analysed"]) == [1, 1, 1]
    assert list(subjects["a_reason"]) == ["", "why", "no_images"]
    assert list(subjects["b_status"]) == ["not_applicable", "", ""]
    assert joined.biomarkers.set_index("unit")["a_size_ml"].notna().tolist() == [True, False, False]
    # sub-2 is a man in one and a woman in the other: that is said, not averaged away.
    assert joined.conflicts == [
        "sex of 1 of 1 subjects differs between a and b: are they the same people?"
    ]
    write_joined(tmp_path, joined)
    assert (
        json.loads((tmp_path / "tables" / "biomarkers.json").read_text())["a_size_ml"]["unit"]
        == "mL"
    )


def test_one_number_of_two_protocols_is_compared_and_the_odd_subject_named(tmp_path):
    rng = np.random.default_rng(4)
    first = rng.normal(150, 20, 40)
    second = first - 3 + rng.normal(0, 4, 40)
    second[7] += 40
    table = pd.DataFrame(
        {
            "unit": [f"sub-{i}" for i in range(40)], "a_size_ml": first, "b_size_ml": second,
            "a_frames": 1.0, "b_frames": 2.0, "a_mass_g": first, "b_mass_g": second,
        }
    )  # fmt: skip
    table.loc[0, "b_size_ml"] = np.nan
    meanings = {
        c: Column({"size_ml": "mL", "frames": ""}.get(c[2:], "g" if c[0] == "a" else "kg"), c)
        for c in table
        if c != "unit"
    }
    rows = agreement(["a", "b"], table, meanings)
    assert list(rows.columns) == list(AGREEMENT)
    (row,) = rows.to_dict("records")
    kept = table.drop(index=0)
    difference = kept["b_size_ml"] - kept["a_size_ml"]
    assert (row["column"], row["first"], row["second"], row["n"]) == ("size_ml", "a", "b", 39)
    assert row["bias"] == pytest.approx(difference.mean())
    assert row["loa_high"] == pytest.approx(difference.mean() + 1.96 * difference.std())
    assert "sub-7" in row["outside"].split()
    assert row["n_outside"] == len(row["outside"].split()) <= 4
    few = agreement(["a", "b"], table.head(8), meanings).to_dict("records")[0]
    assert (few["n"], few["n_outside"]) == (7, 0)
    assert agreement(["a"], table, meanings).empty
    joined_page = tmp_path / "index.html"
    subjects = pd.DataFrame({"unit": ["sub-1"], "a_analysed": [True], "n_analysed": [1]})
    write_front_page(
        joined_page, name="both", agreement=rows, subjects=subjects,
        parts=[Part(name="a", title="A", n_subjects=1, n_analysed=1)],
        ledger=pd.DataFrame([{"protocol": "a", "stage": "qc", "status": "ok", "reason": ""}]),
    )  # fmt: skip
    page = joined_page.read_text(encoding="utf-8")
    assert "One number by two protocols" in page
    assert "sub-7" in page


def test_visits_of_a_subject_are_one_subject():
    rng = np.random.default_rng(2)
    first = np.repeat(rng.normal(100, 10, 20), 5)
    second = first + np.repeat(rng.normal(0, 4, 20), 5)
    second[35:40] += 40  # all five visits of a subject
    table = pd.DataFrame(
        {
            "unit": [f"sub-{i:02d}_ses-{j}" for i in range(20) for j in range(5)],
            "a_size_ml": first, "b_size_ml": second,
        }
    )  # fmt: skip
    meanings = {c: Column("mL", c) for c in ("a_size_ml", "b_size_ml")}
    (visits,) = agreement(["a", "b"], table, meanings).to_dict("records")
    (once,) = agreement(["a", "b"], table[::5], meanings).to_dict("records")
    assert visits["n"] == once["n"] == 20
    assert (visits["bias_low"], visits["loa_high"]) == (once["bias_low"], once["loa_high"])
    assert once["outside"].split() == ["sub-07_ses-0"]
    assert visits["outside"].split() == [f"sub-07_ses-{j}" for j in range(5)]


def test_equals_under_other_names_are_compared_and_a_wrong_encoding_stands_out():
    """A velocity encoding of 250 for 150 cm/s passes the checks of flow; the ventricle knows."""
    rng = np.random.default_rng(4)
    stroke = rng.normal(90, 15, 30)
    forward = stroke + rng.normal(0, 5, 30)
    forward[11] *= 250 / 150
    table = pd.DataFrame(
        {
            "unit": [f"sub-{i}" for i in range(30)], "cine_sax_lvsv_ml": stroke,
            "flow_2d_aorta_forward_ml": forward, "flow_2d_aorta_peak_cm_s": 1.0,
        }
    )  # fmt: skip
    meanings = {c: Column("mL", c) for c in table if c.endswith("_ml")}
    equals = {name: get_protocol(name).equals for name in ("cine_sax", "flow_2d")}
    assert agreement(["cine_sax", "flow_2d"], table, meanings).empty
    for order in (["cine_sax", "flow_2d"], ["flow_2d", "cine_sax"]):
        (row,) = agreement(order, table, meanings, equals=equals).to_dict("records")
        names = (row["column"], row["second_column"])
        assert set(names) == {"lvsv_ml", "aorta_forward_ml"}
        assert (names[0] == "lvsv_ml") == (order[0] == "cine_sax")
        assert "sub-11" in row["outside"].split()
        assert row["n_outside"] <= 3


def test_every_equal_is_a_biomarker_of_its_protocol_and_of_another():
    known = {
        name: load(get_protocol(name).biomarkers.dictionary)
        for name in ("cine_sax", "cine_lax", "flow_2d", "t1_map", "t2_map", "brain_t1")
    }
    for name, own in known.items():
        for here, there in get_protocol(name).equals.items():
            assert here in own
            others = [columns[there] for other, columns in known.items() if there in columns
                      and other != name]  # fmt: skip
            assert others
            assert {column.unit for column in others} == {own[here].unit}


def test_what_is_said_of_one_part_leaves_the_rest_of_a_nested_section():
    config = {
        "protocol": TWO,
        "stages": {"motion": {"enabled": True, "min_frames": 9}},
        "qc": {"thresholds": {"snr": {"review": 5}}},
        "protocols": {
            "cine_sax": {"stages": {"motion": {"min_frames": 12}}},
            "brain_t1": {"qc": {"thresholds": {"snr": {"fail": 2}}}},
        },
    }
    heart, brain = part_configs(config).values()
    assert heart["stages"] == {"motion": {"enabled": True, "min_frames": 12}}
    assert brain["stages"] == {"motion": {"enabled": True, "min_frames": 9}}
    assert brain["qc"] == {"thresholds": {"snr": {"review": 5, "fail": 2}}}
    assert heart["qc"] == config["qc"]


def test_one_subject_with_other_visits_in_each_part_is_said(tmp_path):
    first = part(tmp_path / "a", {"sub-1_ses-1": "ok", "sub-2": "ok"}, ["female", "male"])
    second = part(tmp_path / "b", {"sub-1": "ok", "sub-2": "ok"}, ["female", "male"])
    (sentence,) = join_parts({"a": first, "b": second}).conflicts
    assert sentence.startswith(
        "Subjects who have visits in a that b does not have, and others there: 1. "
    )
