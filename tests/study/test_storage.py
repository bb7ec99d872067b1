"""Which files go, when, and what the records say of them afterwards."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from popscan.inventory import damaged_outputs
from popscan.outputs import content_stands
from popscan.records import Record, Status, SubjectError
from popscan.study.context import ShardContext
from popscan.study.storage import clear_shard
from popscan.study.storage_choice import not_kept
from stored_study import SHARD, STAGES, SUBJECTS, Study, image


@pytest.fixture
def study(tmp_path) -> Study:
    made = Study(tmp_path)
    for stage in STAGES:
        made.run(stage)
    return made


LABELS = {f"derivatives/{sub}/segment/{sub}_dseg.nii.gz" for sub in SUBJECTS}


def test_records_stand_as_before_and_nothing_is_to_be_run(study):
    before, digests = {}, {}
    for stage in STAGES:
        before[stage] = study.store.manifest_path(stage, SHARD).stat().st_mtime_ns
        digests[stage] = {u: (r.digest, r.fingerprint) for u, r in study.records(stage).items()}
    removed = clear_shard(study.store, SHARD)
    assert (removed.n_files, study.stored()) == (6, LABELS)
    for stage in STAGES:
        records = study.records(stage)
        assert {u: (r.digest, r.fingerprint) for u, r in records.items()} == digests[stage]
        assert all(content_stands(study.store, record, SHARD) for record in records.values())
        assert study.store.manifest_path(stage, SHARD).stat().st_mtime_ns == before[stage]
        assert study.store.read_summary(stage, SHARD) is not None
    assert damaged_outputs(study.store.root, subject_files=True) == {}
    row = study.store.read_manifest("ingest", SHARD)[0]
    assert (row["files"], "removed" in row) == ({}, False)
    assert not (study.store.root / "derivatives" / "sub-1" / "ingest").exists()
    # A second look finds nothing, and the stage keeps its records.
    journal = study.store.journal("ingest", SHARD).path
    text = journal.read_bytes()
    assert clear_shard(study.store, SHARD).n_files == 0
    study.run("ingest")
    assert journal.read_bytes() == text


def test_readers_that_are_running_or_older_than_their_inputs_are_waited_for(study):
    manifest = study.store.manifest_path("biomarkers", SHARD)
    content = manifest.read_bytes()
    manifest.unlink()
    assert clear_shard(study.store, SHARD).n_files == 0
    manifest.write_bytes(content)
    made = manifest.stat().st_mtime_ns
    segment = study.store.manifest_path("segment", SHARD)
    os.utime(segment, ns=(made, made + 10))
    assert clear_shard(study.store, SHARD).n_files == 0
    # When all is done, times of files say no more.
    assert clear_shard(study.store, SHARD, last=True).n_files == 6


def test_who_was_not_read_by_all_stages_stays(tmp_path):
    study = Study(tmp_path)
    for stage in ("ingest", "segment", "qc"):
        study.run(stage)
    study.run("biomarkers", only=frozenset({"sub-1"}))
    clear_shard(study.store, SHARD, last=True)
    assert {image("sub-1"), image("sub-2")} & study.stored() == {image("sub-2")}


def test_images_that_the_report_shows_stay_until_it_is_drawn(study):
    study.flagged = {"sub-2"}
    for stage in ("qc", "biomarkers"):
        study.run(stage)
    clear_shard(study.store, SHARD)
    assert {image("sub-1"), image("sub-2")} & study.stored() == {image("sub-2")}
    clear_shard(study.store, SHARD, last=True)
    assert study.stored() == LABELS


def test_files_that_were_changed_are_left(study):
    (study.store.root / image("sub-1")).write_text("ingest cINE.nii.gz")
    clear_shard(study.store, SHARD)
    assert {image("sub-1"), image("sub-2")} & study.stored() == {image("sub-1")}
    assert not study.records("ingest")["sub-1"].removed


def test_readers_without_a_restorer_say_what_was_removed_and_that_it_was_there(study):
    clear_shard(study.store, SHARD)
    context = ShardContext(store=study.store, shard=SHARD, options={})
    subject = study.planned[0].subject
    assert context.has("ingest", subject, "sub-1_cine.nii.gz")
    assert not context.is_stored("ingest", subject, "sub-1_cine.nii.gz")
    assert context.path("segment", subject, "sub-1_dseg.nii.gz").is_file()
    with pytest.raises(SubjectError, match="removed by storage") as failed:
        context.path("ingest", subject, "sub-1_cine.nii.gz")
    assert failed.value.reason == "removed_by_storage"


@pytest.mark.parametrize("text", ["", "{", '{"keep": "labels", "stages": 3, "more": 1}'])
def test_all_is_kept_where_the_choice_is_missing_or_damaged(study, text):
    (study.store.root / "store" / "storage.json").write_text(text)
    assert clear_shard(study.store, SHARD).n_files == 0


def test_what_is_kept_goes_by_the_kind_of_file():
    names = {
        "x_acq-sax_cine.nii.gz", "x_acq-sax_cine.json", "x_acq-sax_desc-reference_cine.nii.gz",
        "x_acq-sax_dseg.nii.gz", "x_acq-sax_dseg.json", "x_acq-sax_desc-reference_dseg.nii.gz",
        "x_acq-sax_desc-ofreference_dseg.nii.gz", "x_acq-sax_desc-samples_volumes.json",
        "x_acq-sax_kspace.h5", "x_acq-sax_desc-motion_fields.npz",
    }  # fmt: skip
    record = Record(
        unit="x", stage="segment", status=Status.OK, files={f"d/x/{name}": 1 for name in names}
    )
    left = names - {name.rpartition("/")[2] for name in not_kept(record, "labels")}
    assert left == {
        "x_acq-sax_dseg.nii.gz", "x_acq-sax_dseg.json", "x_acq-sax_desc-reference_dseg.nii.gz",
        "x_acq-sax_desc-samples_volumes.json",
    }  # fmt: skip
    assert not_kept(record, "all") == []
    assert set(not_kept(record, "tables")) == set(record.files)
    # The raw data of a simulation lie in ingest, too.
    assert set(not_kept(replace(record, stage="simulate"), "labels")) == set(record.files)
