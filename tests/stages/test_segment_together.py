"""Subjects whose slices share batches leave the files that each leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.config import Segment
from popscan.plan import Planned
from popscan.protocols import get_protocol
from popscan.records import Outcome, Scan, Status, Subject
from popscan.run import run_shard
from popscan.stages.segment.task import segment_task
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.files import FileNames
from popscan.task import Task

SHARD = "00000"
PROTOCOL = get_protocol("cine_sax")
PEOPLE = [Planned(subject=Subject(sub=f"sub-{i}")) for i in range(4)]


def heart(i):
    """A bright cavity in a grey ring, beating; another size and place for each subject."""
    nx, ny = 96 + 8 * (i % 2), 88
    x, y = np.meshgrid(np.arange(nx) - 48 - i, np.arange(ny) - 40, indexing="ij")
    radius = np.hypot(x, y)[..., None, None]
    inner = 13 + i - 3 * np.arange(2) - np.abs(np.arange(3) - 1)[:, None]
    image = 60 + 240.0 * (radius < inner) - 30 * ((radius >= inner) & (radius < inner + 6))
    noise = np.random.default_rng(i).normal(0, 6, image.shape)
    spacing = (1.6, 1.6, 10.0)
    array = (image + noise).astype(np.int16)
    return Scan(array=array, affine=np.diag([*spacing, 1.0]), spacing_mm=spacing)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store, names = Store(tmp_path_factory.mktemp("study")), FileNames(PROTOCOL)

    def ingest(subject, scan):
        if subject.sub == "sub-2":
            scan = replace(scan, spacing_mm=(60.0, 60.0, 10.0), affine=np.diag([60, 60, 10, 1.0]))
        return Outcome(files={names.image(subject): scan})

    def reconstruct(subject, scan):
        return Outcome(status=Status.NOT_APPLICABLE, reason="no_kspace")

    for stage, work in {"ingest": ingest, "reconstruct": reconstruct}.items():
        made = Task(
            stage=stage, version="1", options={}, reads=lambda s: {}, work=work,
            load=lambda s: heart(int(s.sub[-1])), write=names.write,
        )  # fmt: skip
        run_shard(store, made, SHARD, PEOPLE)
    return store


def labelled(store, version, **options):
    section = Segment(method="bundle", model="cine_sax", device="cpu", **options)
    given = {"version": version, "study": {"seed": 1}, "protocol": "cine_sax"}
    context = ShardContext(
        store=store,
        shard=SHARD,
        options={**given, "segment": section.model_dump()},
        planned={p.subject.unit: p for p in PEOPLE},
    )
    task = segment_task(context)
    records = run_shard(store, task, SHARD, PEOPLE).records
    files = {name: (store.root / name).read_bytes() for r in records for name in r.files}
    return task, records, files


def test_files_are_the_same_to_the_byte(store):
    options = {"precision": "float32", "uncertainty_maps": True}
    alone, one, plain = labelled(store, "alone", batch_slices=3, **options)
    task, other, shared = labelled(store, "shared", batch_slices=8, batch_subjects=3, **options)
    assert (alone.together, task.together) == (1, 3)
    assert alone.options == task.options
    assert [r.reason for r in one] == ["", "", "bad_spacing", ""]
    kept = [
        [(r.unit, r.status, r.reason, r.message, r.digest) for r in own] for own in (one, other)
    ]
    assert kept[0] == kept[1]
    assert plain.keys() == shared.keys()
    assert len(plain) >= 9
    assert plain == shared
    assert all((r.values["n_frames_without_heart"] < 2) for r in one if r.status is Status.OK)


def test_one_subject_at_a_time_on_a_processor(store):
    task, _, _ = labelled(store, "alone", batch_slices=3, precision="float32")
    assert task.together == 1
    assert task.work_together is None
