"""An export holds all of the chosen subjects and nothing of others, sound or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from plain_table import plain_table
from popscan.archive import Archive
from popscan.cli.main import main
from popscan.commands import export
from popscan.commands.export import ExportDamageError, export_subjects
from popscan.commands.export_tables import ANOTHER, Others
from popscan.inventory import write_inventory
from popscan.lock import StudyLock
from popscan.records import PopscanError, Record, Status
from popscan.stages.restoring import restore_all
from popscan.study.storage import clear_shard
from popscan.study.withdraw import withdraw
from popscan.withdrawn import Memory
from small_study import tree
from stored_study import SHARD, STAGES, Study, image

VISITS = ["sub-1", "sub-0012/ses-1", "sub-0012/ses-2", "sub-patient7"]
UNITS = [visit.replace("/", "_") for visit in VISITS]
N_FILES = 4


def add_tables(study: Study) -> None:
    """Write tables as the stages do: of subjects, of several rows each, and of the study."""
    root, n = study.store.root, len(UNITS)
    ledger = pd.DataFrame(
        [(unit, stage, "ok", "") for unit in UNITS for stage in STAGES],
        columns=["unit", "stage", "status", "reason"],
    )
    dice = {"unit": UNITS, "best_reference": [*UNITS[1:], UNITS[0]], "n": range(n)}
    plain_table(root, "ledger", ledger)
    plain_table(root, "predicted_dice", pd.DataFrame(dice))
    plain_table(root, "scores", pd.DataFrame({"unit": UNITS[-1:], "dice": [0.9]}))
    plain_table(root, "reference_ranges", pd.DataFrame({"outcome": ["lvedv"], "unit": ["mL"]}))
    plain_table(root, "fairness_gaps", pd.DataFrame({"group": ["White"], "gap": [1.0]}))
    write_inventory(root, "tables/ledger.parquet", (root / "tables").glob("*"))


def made(root: Path, *, archives: bool, keep: str = "all") -> Study:
    study = Study(root, VISITS)
    study.keep(keep, archives=archives)
    for stage in STAGES:
        study.run(stage)
    clear_shard(study.store, SHARD, last=True)
    add_tables(study)
    return study


@pytest.fixture(params=[False, True], ids=["loose", "archives"])
def study(request, tmp_path) -> Study:
    return made(tmp_path, archives=request.param)


@pytest.fixture
def loose(tmp_path) -> Study:
    return made(tmp_path, archives=False)


def exported(study: Study, names: Sequence[str], name: str = "out") -> dict[str, bytes]:
    out = study.store.root.parent / name
    export_subjects([study.store.root], names, out)
    return tree(out)


def account(files: dict[str, bytes]) -> dict:
    return json.loads(files["export.json"])


def assert_nothing_written(study: Study) -> None:
    assert {path.name for path in study.store.root.parent.iterdir()} == {"raw", "study"}


def test_the_same_bytes_come_out_of_folders_and_archives(tmp_path):
    loose = made(tmp_path / "a", archives=False)
    packed = made(tmp_path / "b", archives=True)
    assert not packed.stored()
    files = exported(loose, UNITS)
    assert files == exported(packed, UNITS) == exported(packed, UNITS, "again")
    root = loose.store.root
    for name in loose.stored():
        assert files[name] == (root / name).read_bytes()
    assert account(files)["folders"]["."]["files"] == {"ingest": 8, "segment": 8}
    for line in files["SHA256SUMS"].decode().splitlines():
        checksum, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == checksum
    assert len(files) == len(files["SHA256SUMS"].splitlines()) + 1


@pytest.mark.parametrize(
    ("names", "units"),
    [
        (["0012"], UNITS[1:3]),
        (["sub-0012_ses-2"], UNITS[2:3]),
        (["patient7", "sub-1", "1"], [UNITS[0], UNITS[3]]),
    ],
)
def test_only_the_chosen_subjects_and_visits_are_in_it(study, names, units):
    files = exported(study, names)
    assert account(files)["subjects"] == units
    derived = [name for name in files if name.startswith("derivatives/sub-")]
    assert len(derived) == N_FILES * len(units)
    for unit in set(UNITS) - set(units):
        assert not any(unit in name for name in files)
        if unit != "sub-0012_ses-1":  # another visit of a chosen subject may be named
            assert not any(unit.encode() in content for content in files.values())
    root = study.store.root.parent / "out" / "tables"
    assert list(pd.read_parquet(root / "predicted_dice.parquet")["unit"]) == units
    assert len(pd.read_csv(root / "ledger.tsv", sep="\t")) == len(STAGES) * len(units)
    tables = {path.stem for path in root.iterdir()}
    assert tables - {"scores"} == {"ledger", "predicted_dice"}
    assert ("scores" in tables) == (UNITS[3] in units)
    assert (root / "predicted_dice.json").read_bytes() == (
        study.store.root / "tables" / "predicted_dice.json"
    ).read_bytes()


def test_tables_of_all_subjects_are_those_of_the_study(loose):
    files = exported(loose, UNITS)
    for name in ("ledger", "predicted_dice", "scores"):
        here = loose.store.root / "tables" / f"{name}.tsv"
        assert files[f"tables/{name}.tsv"] == here.read_bytes()
        pd.testing.assert_frame_equal(
            pd.read_parquet(loose.store.root.parent / "out" / "tables" / f"{name}.parquet"),
            pd.read_parquet(here.with_suffix(".parquet")),
        )


def test_cells_do_not_name_other_subjects_and_it_is_counted(loose):
    files = exported(loose, ["sub-1", "sub-0012_ses-1"])
    table = pd.read_parquet(loose.store.root.parent / "out" / "tables" / "predicted_dice.parquet")
    assert list(table["best_reference"]) == ["sub-0012_ses-1", "sub-0012_ses-2"]
    assert account(files)["folders"]["."]["cells_without_other_subjects"] == {}
    files = exported(loose, ["sub-0012_ses-2"], "second")
    table = pd.read_parquet(
        loose.store.root.parent / "second" / "tables" / "predicted_dice.parquet"
    )
    assert list(table["best_reference"]) == [ANOTHER]
    assert account(files)["folders"]["."]["cells_without_other_subjects"] == {"predicted_dice": 1}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("raw/sub-03_ses-1_cine.nii.gz: odd", f"raw/{ANOTHER}_ses-1_cine.nii.gz: odd"),
        ("as patient7, 1000012.zip", f"as {ANOTHER}, {ANOTHER}.zip"),
        ("x_sub-03.nii", f"x_{ANOTHER}.nii"),
        ("03 slices, sub-031, sub-a, sub-a.b, 12", f"03 slices, sub-031, {ANOTHER}, sub-a.b, 12"),
        ("", ""),
    ],
)
def test_names_are_hidden_as_whole_words(text, hidden):
    units = ["sub-03_ses-1", "sub-patient7", "sub-1000012", "sub-a", "sub-a.b", "sub-12"]
    assert Others(units, ["sub-a.b"]).hidden(text) == hidden


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sub-1", "sub-99"], "not in the study: sub-99"),
        (["12"], "12 is ambiguous.*sub-0012"),
        ([], "no subject was named"),
    ],
)
def test_unknown_and_ambiguous_names_are_refused(loose, names, message):
    with pytest.raises(PopscanError, match=message):
        exported(loose, names)
    assert_nothing_written(loose)


def test_withdrawn_subjects_are_refused_and_not_in_the_archives(study):
    withdraw(study.store.root, ["sub-patient7"])
    for name in ("sub-patient7", "patient7"):
        with pytest.raises(PopscanError, match=f"withdrawn from the study: {name}"):
            exported(study, ["sub-1", name])
    assert_nothing_written(study)
    add_tables(study)
    files = exported(study, ["sub-1"])
    assert not any(b"patient7" in content for content in files.values())


def test_a_withdrawal_that_was_interrupted_counts(loose):
    memory = Memory.read(loose.store.root)
    memory.leave("sub-0012_ses-1", whole=False)
    memory.write(loose.store.root)
    with pytest.raises(PopscanError, match="withdrawn from the study: sub-0012_ses-1"):
        exported(loose, ["sub-0012"])
    assert account(exported(loose, ["sub-0012_ses-2"]))["subjects"] == ["sub-0012_ses-2"]


def spoil(study: Study, kind: str) -> str:
    """Damage a file of sub-1; return what the message has to name."""
    path = study.store.root / image("sub-1")
    if path.exists():
        if kind == "lost":
            path.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(b"I" + data[1:] if kind == "changed" else data[:3])
        return image("sub-1")
    archive = Archive(study.store.root, "ingest", SHARD).path
    if kind == "lost":
        archive.unlink()
    elif kind == "changed":
        archive.write_bytes(archive.read_bytes().replace(b"ingest cine.nii", b"ingest cINE.nii"))
    else:
        archive.write_bytes(archive.read_bytes()[:-30])
    return f"archives/ingest/{SHARD}.zip: {image('sub-1')}"


@pytest.mark.parametrize("kind", ["lost", "changed", "cut"])
def test_damaged_files_are_named_and_nothing_is_written(study, kind, capsys):
    name = spoil(study, kind)
    out = study.store.root.parent / "out"
    arguments = [str(study.store.root), "--subjects", "sub-1,sub-0012", "--out", str(out)]
    assert main(["export", *arguments]) == 1
    message = capsys.readouterr().err
    assert f"lost or changed since it was written: {name}" in message
    assert "--deep" in message
    assert_nothing_written(study)


def test_damage_of_others_does_not_matter(loose):
    spoil(loose, "lost")
    assert len(exported(loose, ["sub-0012"])) > 2 * N_FILES


def test_a_damaged_table_is_named(loose):
    path = loose.store.root / "tables" / "scores.parquet"
    plain_table(loose.store.root, "scores", pd.DataFrame({"unit": ["sub-1"], "dice": [0.1]}))
    with pytest.raises(ExportDamageError, match=r"tables/scores\.parquet"):
        exported(loose, ["sub-1"])
    path.write_bytes(b"PAR1")
    with pytest.raises(ExportDamageError, match=r"tables/scores\.parquet"):
        exported(loose, ["sub-1"])
    assert_nothing_written(loose)


def test_removed_files_are_named_and_restored_ones_are_exported(tmp_path, capsys):
    study = made(tmp_path, archives=False, keep="labels")
    root, out = study.store.root, tmp_path / "out"
    assert main(["export", str(root), "--subjects", "sub-1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "3 files of sub-1 were removed by storage" in printed
    assert f"popscan storage {root} --restore" in printed
    removed = account(tree(out))["folders"]["."]["removed_by_storage"]
    assert image("sub-1") in removed["sub-1"]
    assert len([name for name in tree(out) if name.startswith("derivatives/sub-")]) == 1


def test_packed_files_that_were_restored_are_exported_as_well(tmp_path):
    study = made(tmp_path, archives=True)
    before = exported(study, ["sub-1"])
    one = next(planned.subject for planned in study.planned if planned.subject.unit == "sub-1")
    assert restore_all(study.store, SHARD, one) == N_FILES
    assert image("sub-1") in study.stored()
    assert exported(study, ["sub-1"], "again") == before


def test_the_reason_is_the_first_stage_that_failed_unless_files_were_removed():
    failed = Record(unit="sub-1", stage="ingest", status=Status.FAILED, reason="no_images")
    skipped = Record(unit="sub-1", stage="qc", status=Status.SKIPPED, reason="no_images")
    assert export._why([failed, skipped]) == "ingest: no_images"
    gone = Record(unit="sub-1", stage="segment", status=Status.OK, removed={image("sub-1"): "00"})
    excluded = Record(unit="sub-1", stage="qc", status=Status.EXCLUDED, reason="qc_fail")
    assert export._why([gone, excluded]) == "removed_by_storage"
    assert export._why([Record(unit="sub-1", stage="qc", status=Status.OK)]) == (
        "no_stage_wrote_files"
    )


@pytest.mark.parametrize("keep", ["all", "tables"])
def test_subjects_without_files_are_counted_with_the_reason(tmp_path, keep, capsys):
    study = made(tmp_path, archives=False, keep=keep)
    if keep == "all":
        for stage in STAGES:
            with study.store.journal(stage, SHARD).writer() as writer:
                writer.forget("sub-1")
    reason = {"all": "no_record", "tables": "removed_by_storage"}[keep]
    out = tmp_path / "out"
    main(["export", str(study.store.root), "--subjects", "sub-1", "--out", str(out)])
    assert account(tree(out))["folders"]["."]["without_files"] == {"sub-1": reason}
    printed = capsys.readouterr().out
    assert f"no files of sub-1 ({reason})" in printed
    assert ("tables are older than the records of sub-1" in printed) == (keep == "all")


def test_a_folder_that_is_not_empty_or_lies_in_the_study_is_refused(loose):
    root = loose.store.root
    with pytest.raises(PopscanError, match="lies in the study"):
        export_subjects([root], ["sub-1"], root / "export")
    out = root.parent / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    with pytest.raises(PopscanError, match="not an empty folder"):
        exported(loose, ["sub-1"])
    assert tree(out) == {"mine": b"kept"}
    (out / "mine").unlink()
    assert "export.json" in exported(loose, ["sub-1"])


def test_a_study_that_runs_is_left_alone(loose):
    lock = StudyLock(loose.store.root)
    lock.acquire()
    with pytest.raises(PopscanError, match="is being run"):
        exported(loose, ["sub-1"])
    del lock
    assert_nothing_written(loose)


def test_a_stop_in_between_leaves_nothing(loose, monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "describe", stopped)
    with pytest.raises(KeyboardInterrupt):
        exported(loose, ["sub-1"])
    assert_nothing_written(loose)


def test_every_protocol_has_its_folder(tmp_path):
    parts = []
    for name, visits in (("a", ["sub-1", "sub-2"]), ("b", ["sub-2", "sub-3"])):
        study = Study(tmp_path / name, visits)
        for stage in STAGES:
            study.run(stage)
        part = tmp_path / "both" / name
        part.parent.mkdir(exist_ok=True)
        parts.append(study.store.root.rename(part))
    plain_table(tmp_path / "both", "subjects", pd.DataFrame({"unit": ["sub-2", "sub-3"]}))
    out = tmp_path / "out"
    export_subjects(parts, ["sub-2", "sub-1"], out)
    found = {name for name in tree(out) if "/sub-" in name and name.endswith("cine.nii.gz")}
    assert found == {
        "a/" + image("sub-1"), "a/" + image("sub-2"), "b/" + image("sub-2"),
    }  # fmt: skip
    assert list(pd.read_parquet(out / "tables" / "subjects.parquet")["unit"]) == ["sub-2"]
    with pytest.raises(PopscanError, match="not in the study: sub-9"):
        export_subjects(parts, ["sub-9"], tmp_path / "more")


def test_subjects_may_be_listed_in_a_file(loose, capsys):
    names = loose.store.root.parent / "ids.tsv"
    names.write_text("participant_id\tsession_id\nsub-0012\tses-2\nsub-1\t\n")
    out = loose.store.root.parent / "out"
    arguments = [str(loose.store.root), "--subjects", str(names), "--out", str(out)]
    assert main(["export", *arguments]) == 0
    assert "2 visits, 8 files, rows of 2 tables; it holds identifiers" in capsys.readouterr().out
