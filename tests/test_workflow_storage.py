"""What a study stores, through real Snakemake: removed, made again where needed, killed between."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from popscan import open_study
from popscan.plan import read_shard
from popscan.records import Record, SubjectError
from popscan.stages.restoring import restore_all
from popscan.store import Store
from popscan.study import storage
from small_study import (
    CONFIG,
    GOOD,
    LIMITS,
    ROOT,
    Redone,
    assert_nothing_to_do,
    popscan,
    rows,
    scan_path,
    snakemake,
    tables,
    write_participants,
    write_subject,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def configure(cwd: Path, **sections: Mapping[str, object]) -> None:
    (cwd / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **sections}))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study of two shards that keeps all."""
    cwd = tmp_path_factory.mktemp("stored")
    for row in rows(GOOD):
        write_subject(cwd, row)
    write_participants(cwd, GOOD)
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")
    configure(cwd)
    snakemake(cwd)
    return cwd


def root_of(cwd: Path) -> Path:
    return cwd / "results" / "tiny"


def files(cwd: Path) -> list[str]:
    folder = root_of(cwd) / "derivatives"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def record(cwd: Path, stage: str, unit: str) -> Record:
    store = Store(root_of(cwd))
    found = [store.journal(stage, s).read().records.get(unit) for s in ("00000", "00001")]
    return next(one for one in found if one is not None)


KEPT = ("desc-samples_volumes.json", "dseg.json", "dseg.nii.gz")
LABELS = [f"{sub}/segment/{sub}_acq-sax_{name}" for sub in GOOD for name in KEPT]


def test_what_is_not_kept_goes_and_comes_back_where_a_stage_needs_it(study):
    whole, before = files(study), tables(study)
    redone = Redone(study)
    configure(study, storage={"keep": "labels"})
    printed = snakemake(study)
    # Nothing but the last rule ran, and nobody was done again.
    assert files(study) == LABELS
    assert redone() == {}
    assert "popscan stage" not in printed
    assert_nothing_to_do(study)
    assert tables(study) == before
    assert record(study, "ingest", GOOD[0]).removed.keys() == {
        f"derivatives/{name}" for name in whole if name.startswith(f"{GOOD[0]}/ingest/")
    }
    assert "removed by storage" in popscan(study, "status", "results/tiny")
    assert "all files are as they were" in popscan(study, "verify", "results/tiny", "--deep")

    # Who looks at images is given a sentence with a command; the command works, and is undone.
    with pytest.raises(SubjectError, match="storage --restore sub-0001") as missing:
        open_study(root_of(study)).images(GOOD[0])
    assert missing.value.reason == "removed_by_storage"
    popscan(study, "storage", "results/tiny", "--restore", GOOD[0])
    assert open_study(root_of(study)).images(GOOD[0])[0].array.ndim == 4
    assert files(study) == sorted({*LABELS, *(n for n in whole if n.startswith(GOOD[0]))})
    assert_nothing_to_do(study)

    # Another threshold: images come back for qc alone, nothing is segmented, and they go again.
    redone = Redone(study)
    limits = {**LIMITS, "snr": {"review": 1e6}}
    configure(study, storage={"keep": "labels"}, qc={"thresholds": limits})
    snakemake(study)
    assert redone() == {"qc": GOOD}
    assert files(study) == LABELS
    assert_nothing_to_do(study)


def test_one_subject_another_model_and_a_stage_that_is_enabled_later(study):
    configure(study, storage={"keep": "labels"})
    snakemake(study)
    redone = Redone(study)
    popscan(study, "rerun", "results/tiny", "--subjects", GOOD[1], "--stage", "biomarkers")
    snakemake(study)
    assert redone() == {"biomarkers": [GOOD[1]]}

    # Optional stages read images; all of them are made again, in both shards.
    redone = Redone(study)
    section = {"keep": "labels"}
    motion = {"motion": {"enabled": True}}
    configure(study, storage=section, stages=motion)
    snakemake(study)
    assert redone() == {"motion": GOOD}
    assert files(study) == LABELS

    # Labels of before go with the model of before.
    redone = Redone(study)
    segment = {"model": "model", "flips": False}
    configure(study, storage={"keep": "tables"}, stages=motion, segment=segment)
    snakemake(study)
    assert redone()["segment"] == GOOD
    assert "ingest" not in redone()
    assert files(study) == []
    assert not list((root_of(study) / "derivatives").glob("*"))
    assert_nothing_to_do(study)


def test_raw_data_that_are_gone_end_as_a_record_of_the_stage_that_needs_them(study):
    configure(study, storage={"keep": "labels"})
    snakemake(study)
    path = scan_path(study, GOOD[2])
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        store = Store(root_of(study))
        subject = read_shard(store.root, "00001")[0].subject
        with pytest.raises(SubjectError, match="cannot be made again") as failed:
            restore_all(store, "00001", subject)
        assert failed.value.reason == "not_restored"
    finally:
        hidden.rename(path)


def test_a_kill_between_note_and_removal_leaves_nothing_in_doubt(study, monkeypatch):
    configure(study, storage={"keep": "labels"})
    snakemake(study)
    popscan(study, "storage", "results/tiny", "--restore", *GOOD)
    store, restored = Store(root_of(study)), files(study)

    def killed(*_):
        raise KeyboardInterrupt

    for name in ("_unlink", "settle"):
        with monkeypatch.context() as patched:
            patched.setattr(storage, name, killed)
            with pytest.raises(KeyboardInterrupt):
                storage.clear_shard(store, "00000", last=True)
    assert files(study) == restored  # noted as removed, but still there
    redone = Redone(study)
    snakemake(study)
    assert redone() == {}
    snakemake(study, "--forcerun", "clear_storage")
    assert files(study) == LABELS
    assert_nothing_to_do(study)
