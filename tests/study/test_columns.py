"""Names of columns and groups: told before anything is computed, with what exists."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from popscan.cli.main import main
from popscan.commands.check import check_study
from popscan.config import Config
from popscan.study.columns import check_before_run, study_columns

WRONG = {
    "simulate": {"n_subjects": 12},
    "fairness": {
        "reference": {"sex": "girl", "age_band": "55-64"},
        "intersections": [["sex", "rase"]],
        "biomarkers": ["lvedv"],
        "adjust_for": ["agee"],
        "adjust_block": "scaner",
        "quality": "dice_meen",
        "codings": {"ethnicity": "ukb_21000"},
    },
    "associate": {"outcomes": ["lvedv"], "terms": ["agee", "bsa"]},
    "visibility": {"enabled": True, "attributes": ["sexx"], "adjust_for": ["heigt_cm"]},
    "rca": {"enabled": True, "balance_by": ["age_band", "raze"]},
    "atlas": {"groups": ["sexx", "age_band", "bmi_class"]},
    "cohort": {
        "plausible": {"walk": [0, 7]},
        "categorical": ["wardd"],
        "special_codes": {"x": [1]},
    },
}
#: Start of a problem -> what it proposes.
EXPECTED = {
    "fairness.reference.sex: 'girl'": "female, male",
    "fairness.reference.age_band: 'age_band' is neither": "sex",
    "fairness.intersections: 'rase'": "'race'",
    "fairness.biomarkers: 'lvedv'": "'lvedv_ml'",
    "fairness.adjust_for: 'agee'": "'age_years'",
    "fairness.adjust_block: 'scaner'": "'scanner'",
    "fairness.quality: 'dice_meen'": "'dice_mean'",
    "fairness.codings: 'ethnicity'": "race",
    "associate.outcomes: 'lvedv'": "'lvedv_ml'",
    "associate.terms: 'agee'": "'age_years'",
    "associate.terms: 'bsa'": "'bsa_m2'",
    "visibility.attributes: 'sexx'": "'sex'",
    "visibility.adjust_for: 'heigt_cm'": "'height_cm'",
    "rca.balance_by: 'raze'": "race",
    "atlas.groups: 'sexx'": "'sex'",
    "cohort.plausible: 'walk'": "",
    "cohort.categorical: 'wardd'": "",
    "cohort.special_codes: 'x'": "",
}


def config_file(tmp_path, config) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_every_wrong_name_is_a_problem_with_what_exists(tmp_path):
    path = config_file(tmp_path, WRONG)
    named, _ = check_study(path)
    assert all(problem.startswith(f"{path}: ") for problem in named)
    problems = [problem.removeprefix(f"{path}: ") for problem in named]
    for start, hint in EXPECTED.items():
        found = [problem for problem in problems if problem.startswith(start)]
        assert len(found) == 1, (start, problems)
        assert hint in found[0].removeprefix(start)
    assert len(problems) == len(EXPECTED)
    assert sorted(check_before_run(WRONG)) == sorted(problems)


def test_a_schema_error_hides_no_other_problem(tmp_path):
    variants = {"a": {"method": "grappa"}, "b": {"way": "cg_sense"}}
    config = {
        **WRONG,
        "fairness": {**WRONG["fairness"], "alpha": 3, "n_bot": 1},
        "reconstruct": {"use": "c", "variants": variants},
        "qc": {"thresholds": {"snrr": {"review": 1}}},
        "segment": {"model": "nowhere", "batch_slices": "many"},
    }
    problems, _ = check_study(config_file(tmp_path, config))
    told = "\n".join(problems)
    assert len(problems) == len(EXPECTED) + 9
    for text in (
        "fairness.alpha: input should be less than 0.5", "fairness.n_bot: unknown key",
        "reconstruct.variants.b.method: field required", "reconstruct.variants.b.way: unknown",
        "reconstruct.use: 'c'", "'grappa'", "'snrr'", "segment.model: no bundle 'nowhere'",
        "segment.batch_slices", *EXPECTED,
    ):  # fmt: skip
        assert text in told


def test_a_source_that_does_not_fit_is_not_replaced_by_the_default_one(tmp_path):
    problems, notes = check_study(config_file(tmp_path, {"source": {"kind": "dycom", "root": "x"}}))
    assert len(problems) == 1
    assert "source.kind" in problems[0]
    assert not any("subjects in" in note for note in notes)


def people(**columns) -> pd.DataFrame:
    return pd.DataFrame({"participant_id": [f"sub-{i}" for i in range(12)], **columns}, dtype=str)


SEX = ["female", "male"] * 6


def test_defaults_that_a_study_lacks_are_notes_and_given_names_are_problems():
    rows = people(sex=SEX, age_years=list(range(50, 62)))
    fairness = {"attributes": ["sex"], "intersections": []}
    config = {"source": {"kind": "bids", "root": "x"}, "fairness": fairness}
    problems, notes = study_columns(Config.model_validate(config), rows)
    assert problems == []
    assert any(n.startswith("associate.terms (default): 'bsa_m2' is made of height") for n in notes)
    given = {**config, "associate": {"terms": ["age_years", "bsa_m2"]}}
    problems, _ = study_columns(Config.model_validate(given), rows)
    assert len(problems) == 1
    assert problems[0].startswith(
        "associate.terms: 'bsa_m2' is made of height_cm and weight_kg, which the cohort table lacks"
    )


def test_a_column_without_values_is_a_problem_and_a_constant_one_a_note():
    rows = people(sex=SEX, empty=[""] * 12, vendor=["A"] * 12)
    config = {
        "source": {"kind": "dicom", "root": "x"},
        "fairness": {"attributes": ["sex", "empty"], "intersections": [], "adjust_for": ["vendor"]},
        "associate": {"terms": ["sex", "empty"]},
    }
    problems, notes = study_columns(Config.model_validate(config), rows)
    assert problems == [
        "fairness.attributes: 'empty' has no value in the cohort table",
        "associate.terms: 'empty' has no value in the cohort table",
    ]
    assert "fairness.adjust_for: vendor is the same for all subjects, so no model uses it." in notes


def test_columns_that_only_the_images_tell_are_not_refused():
    fairness = {
        "attributes": ["group", "bmi_class", "manufacturer"],
        "intersections": [],
        "reference": {"group": "NOR"},
        "adjust_for": ["bsa_m2", "field_strength_t"],
    }
    config = {
        "source": {"kind": "acdc", "root": "x"}, "fairness": fairness,
        "associate": {"terms": ["bsa_m2", "group", "lvm_g"]}, "atlas": {"groups": ["group"]},
    }  # fmt: skip
    assert study_columns(Config.model_validate(config), None)[0] == []
    config["source"] = {"kind": "bids", "root": "x"}
    problems, _ = study_columns(Config.model_validate(config), None)
    assert [problem.partition(",")[0].partition(" is ")[0] for problem in problems] == [
        "fairness.attributes: 'group'", "fairness.attributes: 'bmi_class'",
        "fairness.adjust_for: 'bsa_m2'", "associate.terms: 'bsa_m2'", "associate.terms: 'group'",
        "atlas.groups: 'group'",
    ]  # fmt: skip
    assert "a study without cohort table (source.kind bids)" in problems[0]


@pytest.mark.parametrize("header", ["Sex\tAge\tRACE", "sex\tage_years\trace"])
@pytest.mark.parametrize("names", [["Sex", "Race", "AGE"], ["sex", "race", "age_years"]])
def test_names_of_header_and_config_are_compared_alike(header, names):
    from popscan.cells import column_name

    columns = [column_name(name) for name in header.split("\t")]
    rows = people(**dict(zip(columns, [SEX, range(50, 62), ["White", "Asian"] * 6], strict=True)))
    config = {
        "source": {"kind": "bids", "root": "x"},
        "fairness": {"attributes": names[:2], "intersections": [names[:2]],
                     "reference": {names[0]: "Female"}, "adjust_for": [names[2]]},
        "associate": {"terms": names},
    }  # fmt: skip
    assert study_columns(Config.model_validate(config), rows)[0] == []


SHARED = {
    "columns: [nosuch]": "share.columns: 'nosuch' is no column",
    "columns: [sex], columns_confirmed: [race]": "share.columns_confirmed: 'race' is not in",
    "columns_confirmed: [race]": "share.columns_confirmed: 'race' is not in share.columns",
}


@pytest.mark.parametrize("share", SHARED)
def test_a_column_that_is_to_be_shared_and_does_not_exist_is_a_problem(share):
    config = {"share": yaml.safe_load("{" + share + "}"), "source": {"kind": "bids", "root": "x"}}
    rows = people(sex=SEX, race=["White", "Asian"] * 6)
    problems, _ = study_columns(Config.model_validate(config), rows)
    assert next(p for p in problems if p.startswith("share")).startswith(SHARED[share])
    fits = {**config, "share": {"columns": ["SEX", "Race"], "columns_confirmed": ["Race"]}}
    assert study_columns(Config.model_validate(fits), rows)[0] == []


def test_a_reference_group_of_nobody_is_a_problem():
    config = {"cohort": {"reference_group": {"sex": "girl"}}, "source": {"kind": "bids"}}
    problems, _ = study_columns(Config.model_validate(config), people(sex=SEX))
    start = "cohort.reference_group.sex: nobody is"
    assert any(p.startswith(f"{start} 'girl'") for p in problems)
    config["cohort"]["reference_group"]["sex"] = "Female"
    problems, _ = study_columns(Config.model_validate(config), people(sex=SEX))
    assert not any(p.startswith(start) for p in problems)


@pytest.mark.parametrize(
    "key",
    ["fairness.min_group", "report.min_cell", "associate.min_n", "atlas.min_group",
     "share.rounding"],
)  # fmt: skip
def test_a_size_that_no_group_can_have_is_noted(key):
    section, name = key.split(".")
    rows = people(sex=SEX, age_years=list(range(40, 52)))
    for size, noted in ((12, False), (13, True)):
        config = {section: {name: size}, "source": {"kind": "bids"}}
        notes = study_columns(Config.model_validate(config), rows)[1]
        assert any(note.startswith(f"{key}: ") for note in notes) == noted, notes


@pytest.mark.parametrize(
    ("bands", "note"),
    [
        ([0, 45, 50], None),
        ([0, 45, 60], "nobody is in '60+'"),
        ([0, 20, 45], "nobody is in 'under 20'"),
        ([0, 1], "all ages are in the band '1+', so it compares nobody"),
        ([480, 600], "all ages are in the band 'under 480'"),
    ],
)
def test_bands_of_age_that_hold_nobody_are_noted(bands, note):
    config = {"fairness": {"age_bands_years": bands}, "source": {"kind": "bids"}}
    rows = people(sex=SEX, age_years=list(range(40, 52)))
    notes = study_columns(Config.model_validate(config), rows)[1]
    found = [n for n in notes if n.startswith("fairness.age_bands_years: ")]
    assert len(found) == (note is not None)
    assert all(note in n for n in found)


def test_audit_stops_at_names_that_do_not_exist(tmp_path, capsys):
    rows = "".join(f"p{i}\t{'FM'[i % 2]}\t{50 + i}\t0.{i + 10}\n" for i in range(20))
    (tmp_path / "t.tsv").write_text("participant_id\tsex\tage\tdice\n" + rows)
    config = {
        "table": {"outcomes": {"dise": "higher"}},
        "associate": {"terms": ["agee"]},
        "fairness": {"attributes": ["sexx"], "adjust_for": ["bmi"], "intersections": [["sex", "x"]],
                     "reference": {"sexx": "F"}, "adjust_block": "site"},
    }  # fmt: skip
    arguments = ["audit", str(tmp_path / "t.tsv"), "--out", str(tmp_path / "out"), "--configfile"]
    assert main([*arguments, str(config_file(tmp_path, config))]) == 2
    told = capsys.readouterr().err
    for text in ("'dise'", "'dice'", "'agee'", "'age_years'", "'sexx'", "'bmi'", "'x'", "'site'"):
        assert text in told, text
    assert not (tmp_path / "out").exists()


def test_a_name_that_reads_as_an_intersection_is_a_problem():
    config = {"fairness": {"attributes": ["sex", "dose x day"]}, "source": {"kind": "bids"}}
    rows = people(**{"sex": SEX, "dose x day": ["a", "b"] * 6})
    problems = study_columns(Config.model_validate(config), rows)[0]
    assert len(problems) == 1
    assert problems[0].startswith("fairness.attributes: 'dose x day': ' x ' in a name")
