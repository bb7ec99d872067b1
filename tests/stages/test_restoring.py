"""Removed files are made again as they were made: with as many threads, on such a device."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kspace_files import acquisitions_of, header_of, write
from popscan.config import Config
from popscan.plan import read_shard
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.records import PopscanError, Record, SubjectError
from popscan.stages import SUBJECT_STAGES, restoring, version_of
from popscan.stages.plan.job import plan_study
from popscan.stages.remaking import Remaker, serve
from popscan.stages.restoring import Restorer
from popscan.store import Store
from popscan.study.storage import clear_shard
from popscan.study.storage_choice import Choice
from popscan.task import MachineError
from popscan.threads import numeric_threads, thread_variables
from small_study import rows

SHARD, SUB = "00000", "sub-0001"
STAGES = ["ingest", "reconstruct"]


def run(root: Path, *arguments: str, threads: str = "") -> None:
    """Run a command with an environment that says so many threads, or nothing of them."""
    clean = {k: v for k, v in os.environ.items() if k not in thread_variables(1)}
    if threads:
        clean |= thread_variables(int(threads))
    command = [sys.executable, "-m", "popscan", *arguments]
    subprocess.run(command, cwd=root.parent, env=clean, check=True, capture_output=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Twelve coils, whose maps differ in their last bits between one thread and two."""
    folder = tmp_path_factory.mktemp("restoring")
    made = load(get_protocol("cine_sax").simulation.subject)(
        rows([SUB])[0], seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=2, slices=2,
        coils=12, acceleration=1.5,
    )  # fmt: skip
    path = folder / "raw" / SUB / f"{SUB}_acq-sax_kspace.h5"
    write(path, header_of(made.kspace), acquisitions_of(made.kspace))
    (folder / "raw" / "participants.tsv").write_text(f"participant_id\tsex\n{SUB}\tF\n")
    config = Config.model_validate(
        {
            "source": {"kind": "kspace", "root": str(folder / "raw")},
            "reconstruct": {"variants": {"cg_sense": {"method": "cg_sense"}}},
        }
    ).model_dump()
    root = folder / "study"
    plan_study(root, config)
    (root / "params").mkdir()
    for stage in STAGES:
        given = SUBJECT_STAGES[stage].sections_of(config)
        given |= {"study": {"seed": 1}, "protocol": "cine_sax", "version": version_of(stage)}
        (root / "params" / stage).write_text(json.dumps(given))
        run(root, "stage", stage, "--study", str(root), "--shard", SHARD,
            "--options", str(root / "params" / stage), threads="2")  # fmt: skip
    Choice(keep="tables", stages=STAGES, given={s: s for s in STAGES}).write(root)
    return root


def record(root: Path, stage: str = "reconstruct") -> Record:
    return Store(root).journal(stage, SHARD).read().records[SUB]


def change(root: Path, **changes: object) -> None:
    with Store(root).journal("reconstruct", SHARD).writer() as writer:
        writer.record(replace(record(root), **changes))


def images(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(root.glob("derivatives/*/reconstruct/*"))]


def clear(root: Path) -> None:
    clear_shard(Store(root), SHARD, last=True)
    assert not images(root)


@pytest.mark.parametrize("threads", ["", "1", "2"])
def test_files_are_made_again_with_the_threads_that_made_them(study, threads):
    # The job said one thread, whatever the environment said: so does the record, and so it was.
    assert record(study).cores == 1
    before = images(study)
    assert before
    clear(study)
    run(study, "storage", str(study), "--restore", SUB, threads=threads)
    assert images(study) == before


def test_the_number_matters_here_and_no_other_result_passes(study, monkeypatch):
    """As it was once: one thread's image, made again with two."""
    clear(study)
    kept = record(study)
    change(study, cores=2.0)
    monkeypatch.chdir(study.parent)
    with pytest.raises(SubjectError, match="another one now") as failed:
        Restorer(Store(study), SHARD)("reconstruct", read_shard(study, SHARD)[0].subject)
    assert failed.value.reason == "upstream_lost"
    with Store(study).journal("reconstruct", SHARD).writer() as writer:
        writer.record(kept)


def test_what_was_made_on_a_gpu_keeps_its_record_where_there_is_none(study, monkeypatch):
    clear(study)
    change(study, gpus=1.0)
    monkeypatch.setattr(restoring, "_has_gpu", lambda: False)
    monkeypatch.setattr(restoring, "numeric_threads", lambda: 1)
    with pytest.raises(SubjectError, match="made on a GPU, and here is none") as failed:
        Restorer(Store(study), SHARD)("reconstruct", read_shard(study, SHARD)[0].subject)
    assert failed.value.reason == "not_restored"
    assert record(study).removed
    change(study, gpus=0.0)


@pytest.mark.parametrize(
    ("known", "on_gpu", "device"),
    [("auto", False, "cpu"), ("cuda:1", False, "cpu"), ("cpu", True, "auto"),
     ("cuda:1", True, "cuda:1"), ("auto", True, "auto")],
)  # fmt: skip
def test_the_device_is_that_of_the_record_whatever_the_config_says_now(known, on_gpu, device):
    given = {"segment": {"device": known, "model": "m"}, "version": "1", "stages": {"x": {}}}
    changed = restoring._on_device(given, on_gpu=on_gpu)
    assert changed == {**given, "segment": {"device": device, "model": "m"}}


def test_the_other_process_says_why_and_serves_on(study, monkeypatch):
    monkeypatch.chdir(study.parent)
    remake = Remaker(study, SHARD, threads=1)
    with pytest.raises(SubjectError, match="no record of this subject") as failed:
        remake("segment", SUB)
    assert failed.value.reason == "upstream_missing"
    with pytest.raises(SubjectError, match="no record of this subject"):
        remake("ingest", "sub-none")
    remake("ingest", SUB)
    remake._process.kill()
    with pytest.raises(MachineError, match=r"ended \(-9\)"):
        remake("ingest", SUB)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SubjectError("not_restored", "gone"), "subject"),
        (MachineError("full"), "machine"),
        (OSError(28, "No space left on device"), "machine"),
        (OSError(2, "no such file"), "popscan"),
        (PopscanError("no params"), "popscan"),
        (MemoryError(), "machine"),
        (ValueError("a fault\nof ours"), "fault"),
    ],
)
def test_every_kind_of_failure_is_answered(error, kind):
    def remake(stage: str, unit: str) -> None:
        if unit == SUB:
            raise error

    requests = [json.dumps({"stage": "ingest", "unit": unit}) for unit in (SUB, "sub-2")]
    answers = io.StringIO()
    serve(remake, io.StringIO("\n".join(requests)), answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert (first["kind"], second) == (kind, {})
    assert "\n" not in first["message"]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 0),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"}, 0),
        ({"OMP_NUM_THREADS": "4,2"}, 0),
        ({"OPENBLAS_NUM_THREADS": "2"}, 0),
        (thread_variables(3), 3),
    ],
)
def test_the_number_is_known_only_where_all_libraries_agree(environment, threads):
    assert numeric_threads(environment) == threads
