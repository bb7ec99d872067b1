"""A study's folder is not taken over by another source or cohort."""

from __future__ import annotations

from pathlib import Path

import pytest

from popscan.registry import read_registry
from popscan.stages.plan.job import plan_study
from popscan.study.identity import OtherCohortError, check_before_run

NAMES = [f"sub-{n:02d}" for n in range(1, 9)]


def write_raw(folder: Path, names: list[str], *, content: str = "no image") -> Path:
    for name in names:
        path = folder / name / f"{name}_acq-sax_cine.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    return folder


def options(raw: Path | None, *, n_subjects: int = 8, seed: int = 1, **more) -> dict:
    kind = "bids" if raw else "simulated"
    return {
        "study": {"seed": seed},
        "source": {"kind": kind, "root": str(raw or ""), "participants": ""},
        "simulate": {"n_subjects": n_subjects},
        "cohort": {},
        "plan": {},
        "experiment": {"attribute": ""},
        **more,
    }


def snapshot(study: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in study.rglob("*") if p.is_file()}


def refused(study: Path, given: dict, *words: str) -> None:
    """Planning stops and changes nothing, and so does the look before a run."""
    before = snapshot(study)
    for call in (plan_study, check_before_run):
        with pytest.raises(OtherCohortError, match="allow_replace=true") as caught:
            call(study, given)
        for word in (str(study), "study.name", *words):
            assert word in str(caught.value)
    assert snapshot(study) == before


@pytest.fixture
def study(tmp_path) -> Path:
    """A planned study of eight subjects."""
    plan_study(tmp_path / "study", options(write_raw(tmp_path / "raw", NAMES)))
    return tmp_path / "study"


def test_a_spoilt_shard_file_is_planned_anew(study, tmp_path):
    """Bytes that are no text do not stop the command that makes the file again."""
    given = options(tmp_path / "raw")
    for path in (study / "plan" / "shards").glob("*.jsonl"):
        path.write_bytes(path.read_bytes().replace(b"sub-03", b"sub\xef03"))
    check_before_run(study, given)
    plan_study(study, given)
    assert "sub-03" in read_registry(study / "plan" / "registry.tsv")
    assert b"\xef" not in b"".join(p.read_bytes() for p in (study / "plan").rglob("*.jsonl"))


def test_another_kind_of_source_is_asked_about_both_ways(study, tmp_path):
    refused(study, options(None), "simulated", str(tmp_path / "raw"))
    plan_study(tmp_path / "demo", options(None))
    refused(tmp_path / "demo", options(tmp_path / "raw"), "simulated", str(tmp_path / "raw"))


def test_another_cohort_is_asked_about_with_other_names_or_the_same(study, tmp_path):
    others = write_raw(tmp_path / "others", [f"sub-{n}" for n in range(50, 58)])
    refused(study, options(others), str(others), "lacks 8 of the 8")
    same = write_raw(tmp_path / "same", NAMES, content="the image of somebody else")
    refused(study, options(same), str(same), "the same names but other files")


def test_growing_shrinking_moving_and_editing_are_no_other_cohort(study, tmp_path):
    raw = write_raw(tmp_path / "raw", ["sub-20", "sub-21"])
    plan_study(study, options(raw))
    (tmp_path / "raw").rename(tmp_path / "moved")
    plan_study(study, options(tmp_path / "moved"))
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    study = tmp_path / "elsewhere"
    for name in NAMES[:4]:
        (tmp_path / "moved" / name).rename(tmp_path / name)
    plan_study(study, options(tmp_path / "moved"))
    for name in NAMES[4:]:
        path = tmp_path / "moved" / name / f"{name}_acq-sax_cine.nii.gz"
        path.write_text("reconstructed anew")
    summary = plan_study(study, options(tmp_path / "moved", seed=9))
    assert summary.n_subjects == 6
    check_before_run(study, options(tmp_path / "moved", seed=9))


def test_most_of_the_subjects_gone_is_asked_about(study, tmp_path):
    for name in NAMES[:5]:
        (tmp_path / "raw" / name).rename(tmp_path / name)
    given = options(tmp_path / "raw")
    with pytest.raises(OtherCohortError, match="lacks 5 of the 8 subjects"):
        plan_study(study, given)
    assert len(read_registry(study / "plan" / "registry.tsv")) == 8


def test_most_of_the_subjects_withdrawn_by_name_is_not_asked_about(study, tmp_path):
    path = tmp_path / "exclude.tsv"
    path.write_text("participant_id\treason\n" + "".join(f"{n}\tleft\n" for n in NAMES[:6]))
    given = {**options(tmp_path / "raw"), "cohort": {"exclude": str(path)}}
    check_before_run(study, given)
    assert plan_study(study, given).n_subjects == 2


def test_the_same_simulated_study_again_and_another_seed_pass(tmp_path):
    study = tmp_path / "demo"
    for given in (options(None), options(None), options(None, n_subjects=12, seed=3)):
        check_before_run(study, given)
        plan_study(study, given)
    refused(study, options(None, n_subjects=3), "lacks 9 of the 12")


def test_what_was_asked_about_can_be_done(study, tmp_path):
    summary = plan_study(study, options(None), allow_replace=True)
    assert summary.n_subjects == 8
    check_before_run(study, {**options(tmp_path / "raw"), "allow_replace": True})
    plan_study(study, options(None))
    refused(study, options(tmp_path / "raw"))


def test_check_names_who_would_be_removed_and_asks_about_another_cohort(tmp_path, monkeypatch):
    from popscan.commands.check import check_study

    monkeypatch.chdir(tmp_path)
    raw = write_raw(tmp_path / "raw", NAMES)
    config = tmp_path / "config.yaml"
    config.write_text("study: {name: tiny}\nsource: {kind: bids, root: raw}\n")
    plan_study(tmp_path / "results" / "tiny", options(raw))
    (raw / "sub-03").rename(tmp_path / "sub-03")
    notes = "\n".join(check_study(config)[1])
    assert "1 visits of results/tiny are no longer in the cohort; the next run leaves them" in notes
    assert "sub-03" in notes
    problems = "\n".join(check_study(config, ["source={kind: simulated}"])[0])
    assert "allow_replace=true" in problems
