"""Reconstructions by a network: the record and the report say by which, and for whom it was not."""

import json

import numpy as np
import pandas as pd
import pytest

from popscan.io.nifti import read_scan
from popscan.plan import Planned, write_plan
from popscan.recon.architectures import build_reconstruction
from popscan.recon.learned import save_network
from popscan.records import Outcome, Scan, Status, Subject
from popscan.run import run_shard
from popscan.stages.reconstruct import learned
from popscan.stages.reconstruct.task import by_model, reconstruct_task, task_options
from popscan.stages.report.methods import by_model as named_model
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.task import Task

CONFIG = {
    "reconstruct": {
        "use": "net",
        "variants": {
            "net": {"method": "varnet", "options": {"model": "models/nowhere"}},
            "tv": {"method": "cs_tv"},
        },
    }
}


def scan_of(**done):
    return Scan(
        array=np.zeros((2, 2, 1, 1), np.float32), affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0),
        meta={"reconstruction": done},
    )  # fmt: skip


def test_the_record_names_the_model_and_how_the_data_differ():
    assert by_model(scan_of(method="cs_tv")) == {}
    found = by_model(scan_of(method="varnet", model="m", unlike_training=["a", "b"]))
    assert found == {"model": "m", "unlike_training": "a; b"}
    assert named_model({"model": "x/y/recon_cine"}) == " (model recon_cine)"
    assert named_model({"lam": 0.1}) == ""


@pytest.fixture
def section(monkeypatch, tmp_path):
    """Return the report's section of a table."""

    def made(table, config=CONFIG):
        class Known:
            def table(self, _):
                return table

        monkeypatch.setattr(learned.Study, "of_tables", lambda *_: Known())
        return learned.learned_section(tmp_path, config)

    return made


def test_the_report_names_the_model_and_warns(section):
    table = pd.DataFrame({"unit": ["a", "b"], "model": "nowhere", "unlike_training": ["", ""]})
    extra = section(table)
    assert extra.sentences[0] == "Variant net: method varnet, model nowhere."
    assert "All later stages use the images of variant net" in extra.sentences[1]
    assert "Shimron" in extra.notes[0]
    assert not extra.headline
    assert not extra.tables


def test_scans_unlike_the_training_are_counted(section):
    unlike = [json.dumps({"net": found}) for found in ([], ["2 frames"], ["2 frames"])]
    table = pd.DataFrame({"unit": ["a", "b", "c"], "unlike_training_by_variant": unlike})
    extra = section(table)
    assert "2 of 3 scans differs" in extra.headline[0]
    assert extra.tables[0][1].to_dict("records") == [
        {"Variant": "net", "Difference": "2 frames", "n": 2}
    ]


def test_variants_that_no_later_stage_uses_are_counted_too(section):
    variants = {**CONFIG["reconstruct"]["variants"]}
    variants["other"] = {"method": "kt_sense_net", "options": {"model": "models/nowhere"}}
    config = {"reconstruct": {"use": "tv", "variants": variants}}
    unlike = [json.dumps({"net": [], "other": found}) for found in ([], ["one coil"])]
    table = pd.DataFrame({"unit": ["a", "b"], "unlike_training_by_variant": unlike})
    extra = section(table, config)
    assert extra.headline == [extra.sentences[-1]]
    assert extra.headline[0].startswith("Variant other: k-space of 1 of 2 scans differs")
    assert extra.tables[0][1].to_dict("records") == [
        {"Variant": "other", "Difference": "one coil", "n": 1}
    ]


def test_without_a_network_there_is_no_section(section):
    plain = {"reconstruct": {"use": "tv", "variants": {"tv": {"method": "cs_tv"}}}}
    assert section(pd.DataFrame({"unit": ["a"]}), plain) is None
    assert section(pd.DataFrame(), CONFIG) is None


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    arguments = {"channels": [8], "layers": 2, "fold": 2}
    about = {
        "architecture": "varnet", "name": "tiny", "arguments": arguments,
        "trained": {
            "accelerations": [2.0, 3.0], "coils": [2, 4], "frames": [6, 9], "single_coil": False,
            "single_frame": False, "source": "discs",
        },
    }  # fmt: skip
    network = build_reconstruction("varnet", 0, **arguments)
    return str(save_network(tmp_path_factory.mktemp("m") / "tiny", network, about=about, card="x"))


def test_a_study_reconstructs_by_a_network_and_records_it(model, tmp_path):
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in (32, 48)), indexing="ij")
    frames = [(x**2 + y**2 < r) * 0.6 + (abs(x) < 0.8) * (abs(y) < 0.7) * 0.4 for r in (0.1, 0.2)]
    array = np.stack(frames, axis=-1)[:, :, None].astype(np.float32)
    scan = Scan(array=array, affine=np.diag([2.0, 2, 8, 1]), spacing_mm=(2.0, 2.0, 8.0))
    section = {
        "use": "plain",
        "variants": {
            "net": {"method": "varnet", "options": {"model": model}},
            "plain": {"method": "zero_filled"},
        },
        "retrospective": {"acceleration": 3.5, "centre_lines": 8, "coils": 3},
    }  # fmt: skip
    store, subject = Store(tmp_path), Subject(sub="sub-1")
    planned = [Planned(subject=subject)]
    write_plan(store.root, planned, shard_size=1)
    options = {"reconstruct": section, "version": "1", "study": {"name": "x", "seed": 1}}
    context = ShardContext(store=store, shard="00000", options=options)
    name = context.names.image(subject)
    ingest = Task(
        stage="ingest", version="1", options={}, reads=lambda s: {}, load=lambda s: scan,
        work=lambda s, loaded: Outcome(files={name: loaded}), write=context.names.write,
    )  # fmt: skip
    run_shard(store, ingest, "00000", planned)
    run_shard(store, reconstruct_task(context), "00000", planned)
    record = context.record("reconstruct", subject)
    assert record.status is Status.OK, record.message
    assert "model" not in record.values  # later stages read the other variant
    assert json.loads(record.values["unlike_training_by_variant"]) == {
        "net": ["acceleration 3.4 (trained on 2 to 3)", "2 frames (trained on 6 to 9)"]
    }
    name = context.names.image(subject, desc="net")
    image = read_scan(context.path("reconstruct", subject, name))
    assert image.array.shape == array.shape
    assert image.meta["reconstruction"]["model"] == "tiny"
    digest = task_options(context.section(learned.Reconstruct))["models"]["net"]["model_digest"]
    assert image.meta["reconstruction"]["model_digest"] == digest
