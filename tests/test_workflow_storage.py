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


def test_what_is_not_kept_goes_and_comes_back_where_a_stage_needs_it(study, monkeypatch):
    whole, before = files(study), tables(study)
    redone = Redone(study)
    configure(study, storage={"keep": "labels"})
    snakemake(study)
    assert (files(study), redone()) == (LABELS, {})
    assert tables(study) == before
    assert record(study, "ingest", GOOD[0]).removed.keys() == {
        f"derivatives/{name}" for name in whole if name.startswith(f"{GOOD[0]}/ingest/")
    }
    assert "removed by storage" in popscan(study, "status", "results/tiny")
    assert "all files are as they were" in popscan(study, "verify", "results/tiny", "--deep")

    # Who looks at images is given a sentence with a command, and the command works.
    with pytest.raises(SubjectError, match="storage --restore sub-0001") as missing:
        open_study(root_of(study)).images(GOOD[0])
    assert missing.value.reason == "removed_by_storage"
    popscan(study, "storage", "results/tiny", "--restore", *GOOD)
    assert open_study(root_of(study)).images(GOOD[0])[0].array.ndim == 4
    assert files(study) == whole

    # Killed twice while they were removed again: before and after what was noted was in line.
    for name, shard in (("_unlink", "00000"), ("settle", "00001")):
        with monkeypatch.context() as patched:
            patched.setattr(storage, name, killed)
            with pytest.raises(KeyboardInterrupt):
                storage.clear_shard(Store(root_of(study)), shard, last=True)
    assert files(study) == whole

    # Another threshold: images come back for qc, nothing is segmented, and they go again.
    popscan(study, "rerun", "results/tiny", "--subjects", GOOD[1], "--stage", "biomarkers")
    limits = {**LIMITS, "snr": {"review": 1e6}}
    configure(study, storage={"keep": "labels"}, qc={"thresholds": limits})
    snakemake(study)
    assert redone() == {"biomarkers": [GOOD[1]], "qc": GOOD}
    assert files(study) == LABELS


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_model_and_a_stage_that_is_enabled_later_have_images_made_again(study):
    """Of both shards; labels of the model of before go with it."""
    redone = Redone(study)
    configure(
        study,
        storage={"keep": "tables"},
        stages={"motion": {"enabled": True}},
        segment={"model": "model", "largest_component": False},
    )
    snakemake(study)
    done = redone()
    assert (done["segment"], done["motion"], "ingest" in done) == (GOOD, GOOD, False)
    assert not list((root_of(study) / "derivatives").glob("*"))
    assert_nothing_to_do(study)


def test_raw_data_that_are_gone_or_changed_are_said(study):
    path, store = scan_path(study, GOOD[2]), Store(root_of(study))
    subject = read_shard(store.root, "00001")[0].subject
    hidden = path.rename(path.with_suffix(".hidden"))
    with pytest.raises(SubjectError, match="cannot be made again") as failed:
        restore_all(store, "00001", subject)
    assert failed.value.reason == "not_restored"
    path.write_bytes(hidden.read_bytes())  # another time: perhaps another image
    with pytest.raises(SubjectError, match="changed since") as failed:
        restore_all(store, "00001", subject)
    assert failed.value.reason == "upstream_lost"
    # The stage does it again.
    assert subject.unit not in store.journal("ingest", "00001").read().records
