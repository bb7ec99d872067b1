"""Who withdrew is nowhere below the study's folder any more, and comes back only when asked to."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from plain_table import plain_table
from popscan.inventory import write_inventory
from popscan.lock import StudyLock
from popscan.plan import read_shard
from popscan.records import PopscanError, Record, Status, Subject
from popscan.registry import read_registry, registry_lines
from popscan.stages.plan.job import plan_study
from popscan.store import Store
from popscan.study.withdraw import take_back, withdraw

VISITS = ["sub-01", "sub-02/ses-1", "sub-02/ses-2", "sub-03", "sub-04", "sub-05", "sub-patient7"]


def write_raw(root: Path, *visits: str) -> None:
    for visit in visits:
        folder = root / "raw" / visit
        folder.mkdir(parents=True)
        (folder / f"{visit.replace('/', '_')}_acq-sax_cine.nii.gz").write_text("no image")


def options(root: Path, **cohort: str) -> dict:
    return {
        "study": {"seed": 1},
        "source": {"kind": "bids", "root": str(root / "raw")},
        "cohort": cohort,
        "plan": {"shard_size": 3},
    }


def write_results(study: Path) -> None:
    """Leave what a run leaves of every visit: images, records, manifests, pages, rows, parts."""
    store = Store(study)
    units = {line.unit: line for line in registry_lines(study / "plan" / "registry.tsv")}
    shards = sorted({line.shard for line in units.values()})
    for shard in shards:
        mine = [line for line in units.values() if line.shard == shard]
        for stage in ("ingest", "rca"):
            records = []
            for line in mine:
                folder = store.stage_folder(stage, Subject(sub=line.sub, ses=line.ses).folder)
                folder.mkdir(parents=True)
                image = folder / f"{line.unit}_acq-sax_cine.nii.gz"
                image.write_text("an image")
                rows = (
                    ({"reference": "sub-03"},) if stage == "rca" and line.unit == "sub-05" else ()
                )
                records.append(
                    Record(
                        unit=line.unit,
                        stage=stage,
                        status=Status.OK,
                        rows=rows,
                        files={str(image.relative_to(study)): 8},
                    )
                )
            with store.journal(stage, shard).writer() as writer:
                for record in records:
                    writer.attempt(record.unit)
                    writer.record(record)
            store.write_manifest(stage, shard, records)
            manifest = store.manifest_path(stage, shard)
            files = {name: (size, 0) for record in records for name, size in record.files.items()}
            write_inventory(study, str(manifest.relative_to(study)), [manifest], files)
        prepared = study / "atlas" / "work" / "prepared"
        prepared.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(prepared / f"{shard}.npz", units=np.array([x.unit for x in mine]))
    plain_table(study, "qc", pd.DataFrame({"unit": list(units)}))
    for unit in units:
        page = study / "report" / "subjects" / f"{unit}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(unit)
    (study / "atlas" / "mean_all.nii.gz").write_text("an average")
    (study / "logs" / "ingest").mkdir(parents=True)
    (study / "logs" / "ingest" / "00000.log").write_text("WARNING sub-02_ses-1: raw/sub-03: odd\n")
    (study / "logs" / "collect.log").write_text("qc: 7 rows\n")
    (study / "provenance.json").write_text("{}\n")
    (study / "rca").mkdir()
    (study / "rca" / "chosen.json").write_text(json.dumps({"settings": {}, "units": list(units)}))
    np.savez_compressed(study / "rca" / "references.npz", unit=np.array(["sub-03", "sub-05"]))


@pytest.fixture
def study(tmp_path) -> Path:
    """A study of six subjects, two visits of one, as a run left it."""
    write_raw(tmp_path, *VISITS)
    plan_study(tmp_path / "study", options(tmp_path))
    write_results(tmp_path / "study")
    return tmp_path / "study"


def mentioned(study: Path, name: str) -> list[str]:
    """Files whose name or content, unpacked, has the identifier."""
    found = []
    for path in sorted(study.rglob("*")):
        contents = [str(path.relative_to(study)).encode()]
        if path.is_file():
            contents.append(path.read_bytes())
            if path.suffix == ".parquet":
                contents.append(str(pq.read_table(path).to_pylist()).encode())
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    contents += [archive.read(member) for member in archive.namelist()]
        if any(name.encode() in c or name.encode("utf-32-le") in c for c in contents):
            found.append(str(path.relative_to(study)))
    return found


def test_the_fixture_mentions_everybody_everywhere(study):
    assert len(mentioned(study, "sub-03")) > 12
    assert any("atlas/work" in path for path in mentioned(study, "sub-03"))


@pytest.mark.parametrize("name", ["sub-03", "03", "sub-02", "sub-patient7", "patient7"])
def test_nothing_names_who_withdrew_and_the_others_keep_theirs(study, name):
    before = read_registry(study / "plan" / "registry.tsv")
    label = name if name.startswith("sub-") else f"sub-{name}"
    done = withdraw(study, [name])
    assert mentioned(study, label) == []
    assert done.left == []
    assert done.n_visits == len([u for u in before if u.startswith(label)])
    assert label not in done.sentence()
    after = read_registry(study / "plan" / "registry.tsv")
    assert after == {u: s for u, s in before.items() if not u.startswith(label)}
    for unit in after:
        assert (study / "derivatives" / unit.replace("_", "/") / "ingest").is_dir()
        records = Store(study).journal("ingest", after[unit]).read().records
        assert records[unit].status is Status.OK
    assert (study / "logs" / "collect.log").exists()
    assert not list((study / "tables").glob("*"))
    assert not (study / "report").exists()
    assert json.loads((study / "plan" / "plan.json").read_text())["n_subjects"] == len(after)


def test_who_was_compared_with_a_withdrawn_reference_is_done_again(study):
    withdraw(study, ["sub-03"])
    shard = read_registry(study / "plan" / "registry.tsv")["sub-05"]
    assert "sub-05" not in Store(study).journal("rca", shard).read().records
    assert "sub-05" in Store(study).journal("ingest", shard).read().records
    assert not Store(study).manifest_path("rca", shard).exists()
    assert not (study / "rca" / "references.npz").exists()


def test_one_visit_may_leave_and_the_other_stays(study):
    withdraw(study, ["sub-02_ses-1"])
    assert mentioned(study, "ses-1") == []
    assert (study / "derivatives/sub-02/ses-2/ingest").is_dir()
    plan_study(study, options(study.parent))
    assert "sub-02_ses-2" in read_registry(study / "plan" / "registry.tsv")
    assert mentioned(study, "ses-1") == []


def test_planning_does_not_bring_them_back_and_nobody_moves(study):
    raw = study.parent
    before = read_registry(study / "plan" / "registry.tsv")
    withdraw(study, ["sub-03"])
    write_raw(raw, "sub-09")
    summary = plan_study(study, options(raw))
    assert summary.withdrawn["by_hand"] == 1
    after = read_registry(study / "plan" / "registry.tsv")
    assert {u: s for u, s in before.items() if u != "sub-03"}.items() <= after.items()
    assert mentioned(study, "sub-03") == []
    assert take_back(study, ["sub-03"]) == 1
    plan_study(study, options(raw))
    assert "sub-03" in read_registry(study / "plan" / "registry.tsv")


@pytest.mark.parametrize("later", [True, False])
def test_the_exclusion_list_removes_and_keeps_a_count(study, later):
    raw = study.parent
    path = raw / "exclude.tsv"
    path.write_text("participant_id\treason\n03\twithdrew\nsub-77\twithdrew\n")
    if later:
        withdraw(study, ["sub-03"])
    summary = plan_study(study, options(raw, exclude=str(path)))
    assert mentioned(study, "sub-03") == []
    assert mentioned(study, "sub-77") == []
    assert summary.withdrawn["exclusion_list"] == 1
    assert summary.n_subjects == 6
    units = [p.subject.unit for s in summary.shards for p in read_shard(study, s)]
    assert "sub-03" not in units
    # A second plan changes nothing.
    assert plan_study(study, options(raw, exclude=str(path))).removal == ""
    assert mentioned(study, "sub-03") == []


def test_a_row_gone_removes_until_it_is_back(tmp_path):
    write_raw(tmp_path, *VISITS)
    table = tmp_path / "raw" / "participants.tsv"
    rows = sorted({visit.split("/")[0] for visit in VISITS})
    table.write_text("participant_id\n" + "\n".join(rows) + "\n")
    study = tmp_path / "study"
    plan_study(study, options(tmp_path))
    write_results(study)
    table.write_text("participant_id\n" + "\n".join(r for r in rows if r != "sub-04") + "\n")
    summary = plan_study(study, options(tmp_path))
    assert "1 visit was removed" in summary.removal
    assert summary.withdrawn["no_longer_in_cohort"] == 1
    assert summary.unlisted == ()
    assert mentioned(study, "sub-04") == []
    table.write_text("participant_id\n" + "\n".join(rows) + "\n")
    summary = plan_study(study, options(tmp_path))
    assert summary.withdrawn["no_longer_in_cohort"] == 0
    assert "sub-04" in summary.new


def test_files_that_are_not_popscans_are_named_not_removed(study):
    (study / "notes.txt").write_text("sub-03 called\n")
    done = withdraw(study, ["sub-03"])
    assert done.left == ["notes.txt"]
    assert "notes.txt" in done.sentence()


def test_a_running_study_and_unknown_names_are_refused(study):
    with pytest.raises(PopscanError, match="not in the study: sub-99"):
        withdraw(study, ["sub-03", "sub-99"])
    assert mentioned(study, "sub-03")
    lock = StudyLock(study)
    lock.acquire()
    with pytest.raises(PopscanError, match="is being run"):
        withdraw(study, ["sub-03"])


def test_spoilt_files_do_not_keep_anybody(study):
    shard = read_registry(study / "plan" / "registry.tsv")["sub-03"]
    path = study / "plan" / "shards" / f"{shard}.jsonl"
    path.write_bytes(path.read_bytes() + b"\xef\xfe sub-03\n")
    (study / "rca" / "chosen.json").parent.mkdir(exist_ok=True)
    (study / "rca" / "chosen.json").write_bytes(b'{"units": ["sub-03"\xef')
    withdraw(study, ["sub-03"])
    assert mentioned(study, "sub-03") == []


def test_a_damaged_memory_stops_the_plan(study):
    withdraw(study, ["sub-03"])
    (study / "plan" / "withdrawn.json").write_text("{")
    with pytest.raises(PopscanError, match="who withdrew"):
        plan_study(study, options(study.parent))


def test_an_interrupted_withdrawal_is_finished_by_the_next(study, monkeypatch):
    import popscan.study.withdraw as module

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_sweep", stop)
        with pytest.raises(KeyboardInterrupt):
            withdraw(study, ["sub-03"])
    assert mentioned(study, "sub-03")
    plan_study(study, options(study.parent))
    assert mentioned(study, "sub-03") == []
