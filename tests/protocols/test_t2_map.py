"""T2 maps: fitted to images with T2 preparation, or ready-made."""

from __future__ import annotations

import numpy as np
import pytest

from mapping_files import MYO, regions, write_image, write_regions
from popscan.ingest import prepare
from popscan.io.sources import get_source
from popscan.protocol import load
from popscan.protocols import get_protocol
from popscan.qc import run_checks, verdict

PROTOCOL = get_protocol("t2_map")
LABELS = regions()
TRUTH = np.where(LABELS == MYO, 48.0, np.where(LABELS == 0, 60.0, 180.0))
SUB = "sub-01"


def test_images_with_preparation_give_t2_and_the_report_s_parts_load(tmp_path):
    for where in PROTOCOL.places().values():
        load(where)
    rng = np.random.default_rng(2)
    for number, time in enumerate((0.0, 0.025, 0.055)):
        image = 300.0 * np.exp(-1000.0 * time / TRUTH) + 2.0 * rng.standard_normal(TRUTH.shape)
        path = tmp_path / SUB / "anat" / f"{SUB}_inv-{number}_T2prep.nii.gz"
        write_image(path, image.astype(np.float32), {"T2PreparationTime": time})
    write_regions(tmp_path, SUB, LABELS)
    found = get_source("bids", PROTOCOL).load([str(tmp_path / SUB)])
    scan, labels, facts = prepare(PROTOCOL, found.scans["t2"], found.labels["t2"])
    assert facts["map_from"] == "raw"
    values = load(PROTOCOL.biomarkers.methods["regions"])(
        labels.array, image=scan.array, spacing_mm=scan.spacing_mm, affine=scan.affine
    )
    assert set(values) == set(load(PROTOCOL.biomarkers.dictionary))
    assert values["wall_t2_ms"] == pytest.approx(48.0, abs=0.3)
    assert values["lv_blood_t2_ms"] == pytest.approx(180.0, rel=0.03)
    context = load(PROTOCOL.quality.context)(scan, labels.array)
    assert verdict(run_checks(load(PROTOCOL.quality.checks), context)) == "pass"


def test_a_ready_made_map_in_seconds(tmp_path):
    write_image(tmp_path / SUB / "anat" / f"{SUB}_T2map.nii.gz", (TRUTH / 1000).astype(np.float32))
    found = get_source("bids", PROTOCOL).load([str(tmp_path / SUB)])
    scan, _, facts = prepare(PROTOCOL, found.scans["t2"], None)
    assert facts["map_unit"] == "s"
    np.testing.assert_allclose(scan.array[..., 0], TRUTH, rtol=1e-5)
