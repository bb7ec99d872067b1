"""What a study stores, through real Snakemake: removed, made again where needed, killed between."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from kspace_files import acquisitions_of, header_of, write
from popscan import open_study
from popscan.plan import read_shard
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.records import Record, SubjectError
from popscan.stages.restoring import restore_all
from popscan.store import Store
from popscan.study import storage
from small_study import (
    CONFIG,
    LIMITS,
    ROOT,
    TO_TABLES,
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

SUBJECTS = ["sub-0001", "sub-0002"]

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def configure(cwd: Path, **sections: Mapping[str, object]) -> None:
    (cwd / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **sections}))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study that keeps all."""
    cwd = tmp_path_factory.mktemp("stored")
    for row in rows(SUBJECTS):
        write_subject(cwd, row)
    write_participants(cwd, SUBJECTS)
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")
    configure(cwd)
    snakemake(cwd)
    return cwd


def root_of(cwd: Path) -> Path:
    return cwd / "results" / "tiny"


def files(cwd: Path) -> list[str]:
    folder = root_of(cwd) / "derivatives"
    return sorted(str(p.relative_to(folder)) for p in folder.glob("sub-*/**/*") if p.is_file())


def record(cwd: Path, stage: str, unit: str) -> Record:
    return Store(root_of(cwd)).journal(stage, "00000").read().records[unit]


KEPT = ("desc-samples_volumes.json", "dseg.json", "dseg.nii.gz")
LABELS = [f"{sub}/segment/{sub}_acq-sax_{name}" for sub in SUBJECTS for name in KEPT]


def test_what_is_not_kept_goes_and_comes_back_where_a_stage_needs_it(study, monkeypatch):
    whole, before = files(study), tables(study)
    redone = Redone(study)
    configure(study, storage={"keep": "labels"})
    snakemake(study)
    assert (files(study), redone()) == (LABELS, {})
    assert tables(study) == before
    assert record(study, "ingest", SUBJECTS[0]).removed.keys() == {
        f"derivatives/{name}" for name in whole if name.startswith(f"{SUBJECTS[0]}/ingest/")
    }
    assert "removed by storage" in popscan(study, "status", "results/tiny")
    assert "all files are as they were" in popscan(study, "verify", "results/tiny", "--deep")

    # Who looks at images is given a sentence with a command, and the command works.
    with pytest.raises(SubjectError, match="storage --restore sub-0001") as missing:
        open_study(root_of(study)).images(SUBJECTS[0])
    assert missing.value.reason == "removed_by_storage"
    popscan(study, "storage", "results/tiny", "--restore", *SUBJECTS)
    assert open_study(root_of(study)).images(SUBJECTS[0])[0].array.ndim == 4
    assert files(study) == whole

    # Killed twice while they were removed again: once noted, and when files go that were noted.
    for name in ("settle", "_unlink"):
        with monkeypatch.context() as patched:
            patched.setattr(storage, name, killed)
            with pytest.raises(KeyboardInterrupt):
                storage.clear_shard(Store(root_of(study)), "00000", last=True)
    assert files(study) == whole

    # Another threshold: images come back for qc, nothing is segmented, and they go again.
    popscan(study, "rerun", "results/tiny", "--subjects", SUBJECTS[1], "--stage", "biomarkers")
    limits = {**LIMITS, "snr": {"review": 1e6}}
    configure(study, storage={"keep": "labels"}, qc={"thresholds": limits})
    snakemake(study)
    assert redone() == {"biomarkers": [SUBJECTS[1]], "qc": SUBJECTS}
    assert files(study) == LABELS


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_another_model_and_a_stage_that_is_enabled_later_have_images_made_again(study):
    redone = Redone(study)
    configure(
        study,
        storage={"keep": "tables"},
        stages={"motion": {"enabled": True}},
        segment={"model": "model", "largest_component": False},
    )
    snakemake(study)
    done = redone()
    assert (done["segment"], done["motion"], "ingest" in done) == (SUBJECTS, SUBJECTS, False)
    assert not list((root_of(study) / "derivatives").glob("sub-*"))
    assert_nothing_to_do(study)


def test_raw_data_that_are_gone_or_changed_are_said(study, monkeypatch):
    monkeypatch.chdir(study)
    path, store = scan_path(study, SUBJECTS[1]), Store(root_of(study))
    subject = read_shard(store.root, "00000")[1].subject
    folder = study / "raw" / SUBJECTS[1]
    hidden = folder.rename(study / "hidden")
    with pytest.raises(SubjectError, match="cannot be made again") as failed:
        restore_all(store, "00000", subject)
    assert failed.value.reason == "not_restored"
    hidden.rename(folder)
    path.write_bytes(path.read_bytes())  # another time: perhaps another image
    with pytest.raises(SubjectError, match="changed since") as failed:
        restore_all(store, "00000", subject)
    assert failed.value.reason == "upstream_lost"
    # The stage does it again.
    assert subject.unit not in store.journal("ingest", "00000").read().records


def write_kspace(cwd: Path, sub: str) -> None:
    """Twelve coils, whose maps differ in their last bits between one thread and two."""
    made = load(get_protocol("cine_sax").simulation.subject)(
        rows([sub])[0], seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=3, slices=4,
        coils=12, acceleration=1.5,
    )  # fmt: skip
    path = cwd / "raw" / sub / f"{sub}_acq-sax_kspace.h5"
    write(path, header_of(made.kspace), acquisitions_of(made.kspace))
    write_participants(cwd, [sub])
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")


def test_a_k_space_study_is_the_same_whatever_it_keeps(tmp_path):
    """Segment has two threads, reconstruct one: images come back as one thread makes them.

    A study and its copy, which keeps all, side by side through another option of segment.
    """
    kspace = {
        "source": {"kind": "kspace", "root": "raw"},
        "reconstruct": {"variants": {"cg_sense": {"method": "cg_sense"}}},
    }
    whole, lean = tmp_path / "whole", tmp_path / "lean"
    lean.mkdir()
    write_kspace(lean, SUBJECTS[0])
    configure(lean, **kspace, storage={"keep": "tables"})
    snakemake(lean, *TO_TABLES)
    shutil.copytree(lean, whole)
    # As the last job does it; before that, images stay that the report shows.
    storage.clear_shard(Store(root_of(lean)), "00000", last=True)
    assert not files(lean)
    assert files(whole)
    done = []
    for cwd, keep in ((whole, "all"), (lean, "tables")):
        options = {"model": "model", "largest_component": False}
        configure(cwd, **kspace, segment=options, storage={"keep": keep})
        redone = Redone(cwd)
        snakemake(cwd, *TO_TABLES)
        done.append(redone())
    assert tables(lean) == tables(whole)
    assert done[0] == done[1]
    assert ("segment" in done[1], "reconstruct" in done[1]) == (True, False)
    storage.clear_shard(Store(root_of(lean)), "00000", last=True)
    assert not files(lean)
