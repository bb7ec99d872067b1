"""Reconstructions by a network: the record and the report say by which, and for whom it was not."""

import numpy as np
import pandas as pd
import pytest

from popscan.records import Scan
from popscan.stages.reconstruct import learned
from popscan.stages.reconstruct.task import by_model
from popscan.stages.report.methods import by_model as named_model

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
    table = pd.DataFrame({"unit": ["a", "b", "c"], "unlike_training": ["", "2 frames", "2 frames"]})
    extra = section(table)
    assert "2 of 3 scans differs" in extra.headline[0]
    assert extra.tables[0][1].to_dict("records") == [{"Difference": "2 frames", "n": 2}]


def test_without_a_network_there_is_no_section(section):
    plain = {"reconstruct": {"use": "tv", "variants": {"tv": {"method": "cs_tv"}}}}
    assert section(pd.DataFrame({"unit": ["a"]}), plain) is None
    assert section(pd.DataFrame(), CONFIG) is None
