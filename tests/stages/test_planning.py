"""Who is planned: every row, every folder and every exclusion is accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from popscan.records import PopscanError
from popscan.stages.plan.job import plan_study
from popscan.stages.tasks import run_stage
from popscan.store import Store
from popscan.study.listing import Cohort, find_cohort

VISITS = [("sub-01", "ses-1"), ("sub-01", "ses-2"), ("sub-02", "")]


@pytest.fixture
def raw(tmp_path) -> Path:
    """Raw data of a subject with two visits and of one without ses-* folders."""
    for sub, ses in VISITS:
        folder = tmp_path / "raw" / sub / ses
        folder.mkdir(parents=True)
        (folder / f"{sub}_acq-sax_cine.nii.gz").write_text("no image")
    return tmp_path / "raw"


def options(raw: Path, **cohort: str) -> dict:
    return {
        "study": {"seed": 1},
        "source": {"kind": "bids", "root": str(raw)},
        "cohort": cohort,
        "plan": {},
    }


def excluded(raw: Path, text: str) -> tuple[Cohort, list[str]]:
    """Return the cohort with this exclusion list, and who is excluded of it."""
    path = raw.parent / "exclude.tsv"
    path.write_text(text)
    cohort = find_cohort(options(raw, exclude=str(path)))
    return cohort, [p.subject.unit for p in cohort.planned if p.problem]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "no such file"),
        ("participant_id\treason\nsub-01\tdécès\n".encode("latin-1"), "line 2: found byte 0xe9"),
        (b"participant_id\treason\nsub-01\twithdrew\tconsent\n", "line 2: found 3 cells"),
        (b"participant\treason\nsub-01\twithdrew\n", "no such column"),
    ],
)
def test_unusable_exclusion_list_stops_the_plan(raw, data, told):
    """Who withdrew must not be processed because the list has a slip."""
    path = raw.parent / "exclude.tsv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PopscanError, match=rf"cohort\.exclude: .*exclude\.tsv.*{told}"):
        plan_study(raw.parent / "study", options(raw, exclude=str(path)))
    assert not (raw.parent / "study").exists()


def test_exclusion_of_one_visit_leaves_the_others(raw):
    cohort, who = excluded(raw, "participant_id\tsession_id\treason\n01\t2\tmotion\n02\t\t\n")
    assert who == ["sub-01_ses-2", "sub-02"]
    assert [p.problem.get("message") for p in cohort.planned] == [None, "motion", "listed"]
    assert cohort.problems == []


def test_exclusion_without_session_excludes_every_visit(raw):
    for header, rows in (
        ("participant_id\treason", "sub-01\twithdrew"),
        ("participant_id\tsession_id\treason", "sub-01\tn/a\twithdrew"),
    ):
        assert excluded(raw, f"{header}\n{rows}\n")[1] == ["sub-01_ses-1", "sub-01_ses-2"]


def test_nobody_is_excluded_by_a_header_alone(raw):
    cohort, who = excluded(raw, "participant_id\treason\n")
    assert who == []
    assert cohort.problems == []


def test_exclusion_of_a_visit_that_is_not_in_the_cohort_is_told(raw):
    text = "participant_id\tsession_id\nsub-01\tses-1\nsub-01\tses-9\nsub-07\t\n"
    cohort, who = excluded(raw, text)
    assert who == ["sub-01_ses-1"]
    told = [problem.split(": ")[1] for problem in cohort.problems]
    assert told == [
        f"{key} is excluded but not in the cohort" for key in ("sub-01 ses-9", "sub-07")
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1\t", "sub-1 is not in the cohort, but sub-01 is"),
        ("001.0\t", "sub-001 is not in the cohort, but sub-01 is"),
        ("SUB-01\t", "sub-SUB-01 is not in the cohort, but sub-01 is"),
        ("sub-01\t02", "sub-01 ses-02 is not in the cohort, but sub-01 ses-2 is"),
        ("sub-02\tses-1", "sub-02 ses-1 names a visit, and the cohort has sub-02 without visits"),
    ],
)
def test_exclusion_in_another_spelling_stops_the_plan(raw, row, told):
    """Who withdrew would be processed because a spreadsheet dropped zeros."""
    with pytest.raises(PopscanError, match=f"cohort.exclude: .*{told}"):
        excluded(raw, f"participant_id\tsession_id\n{row}\n")


def test_visits_that_the_table_does_not_list_are_told(raw):
    (raw / "sub-03" / "ses-1").mkdir(parents=True)
    (raw / "participants.tsv").write_text("participant_id\tsession_id\nsub-01\tses-1\nsub-02\t\n")
    cohort = find_cohort(options(raw))
    assert [p.subject.unit for p in cohort.planned] == ["sub-01_ses-1", "sub-02"]
    assert cohort.unlisted == ["sub-01_ses-2", "sub-03_ses-1"]


def test_row_whose_visit_has_no_images_fails_saying_what_was_found(raw):
    rows = "sub-01\tses-3\nsub-02\tses-1\nsub-04\tses-1\n"
    (raw / "participants.tsv").write_text(f"participant_id\tsession_id\n{rows}")
    study = raw.parent / "study"
    told = plan_study(study, options(raw))
    assert told.unlisted == ("sub-01_ses-1", "sub-01_ses-2", "sub-02")
    result = run_stage(Store(study), "ingest", "00000", {"version": "1", **options(raw)})
    assert {(str(r.status), r.reason) for r in result.records} == {("failed", "no_images")}
    assert [r.message for r in result.records] == [
        "no images of ses-3: the raw data of sub-01 have ses-1, ses-2",
        "no images of ses-1: the raw data of sub-02 have a folder without ses-*",
        "the cohort table lists this subject, but no images exist",
    ]


def test_a_folder_named_after_a_visit_is_that_visit_and_never_overwrites_it(raw):
    for name in ("sub-01_ses-2", "sub-09_ses-1"):
        (raw / name).mkdir()
        (raw / name / f"{name}_acq-sax_cine.nii.gz").write_text("another image")
    cohort = find_cohort(options(raw))
    units = [p.subject.unit for p in cohort.planned]
    assert units == sorted(set(units))
    by_unit = {p.subject.unit: p.subject for p in cohort.planned}
    assert by_unit["sub-01_ses-2"].sources == (str(raw / "sub-01" / "ses-2"),)
    assert by_unit["sub-09_ses-1"].folder == "sub-09/ses-1"
    (problem,) = cohort.problems
    assert str(raw / "sub-01_ses-2") in problem
    assert "another folder of sub-01_ses-2" in problem
    (raw / "participants.tsv").write_text(
        "participant_id\tsession_id\nsub-01\t1\nsub-01\t2\nsub-01_ses-2\t\nsub-09\t1\n"
    )
    cohort = find_cohort(options(raw))
    assert [p.subject.unit for p in cohort.planned] == [
        "sub-01_ses-1",
        "sub-01_ses-2",
        "sub-09_ses-1",
    ]
    assert any("sub-01_ses-2 twice" in problem for problem in cohort.problems)
    assert excluded(raw, "participant_id\treason\nsub-01_ses-2\tmotion\n")[1] == ["sub-01_ses-2"]
