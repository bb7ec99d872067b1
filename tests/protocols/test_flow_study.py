"""A study of flow through real Snakemake: good planes are measured, damaged ones are recorded."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from flow_files import AORTA, PULMONARY, RR_MS, Phantom, write_bids
from popscan.flow.simulate import Tube
from small_study import snakemake

N_GOOD = 4
#: Why each damaged visit is not measured, and at which stage.
DAMAGED = {
    "sub-11": ("ingest", "no_venc"),
    "sub-12": ("ingest", "truncated_file"),
    "sub-13": ("ingest", "no_phase"),
    "sub-14": ("segment", "no_labels"),
    "sub-15": ("ingest", "conflicting_venc"),
    "sub-16": ("ingest", "bad_phase"),
}
#: A short series, so that the whole chain is quick.
LIMITS = {"frame_count": {"review": 10, "fail": 5}}


def phantom(number: int, **options) -> Phantom:
    """Aorta and pulmonary trunk; the peak differs between people and wraps in every second."""
    peak = 100.0 + 8.0 * number
    tubes = (
        Tube(code=AORTA, centre_mm=(-14.0, 10.0), radius_mm=15.0, peak_cm_s=peak, profile=2.0,
             tilt_deg=15.0, sway_mm=3.0, back=0.02 * number),
        Tube(code=PULMONARY, centre_mm=(22.0, -14.0), radius_mm=15.0, peak_cm_s=peak, profile=2.0,
             sway_mm=2.0, back=0.02),
    )  # fmt: skip
    venc = 80.0 if number % 2 else 160.0
    return Phantom(venc_cm_s=venc, seed=number, n=64, frames=16, tubes=tubes, **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("flow")
    raw, step = cwd / "raw", RR_MS / 1000 / 16
    for number in range(1, N_GOOD + 1):
        write_bids(raw, f"sub-{number:02d}", phantom(number), step_s=step, half=4096.0)
    for sub in DAMAGED:
        folder = write_bids(raw, sub, phantom(2), step_s=step)
        phase = folder / f"{sub}_part-phase_flow.nii.gz"
        side = folder / f"{sub}_part-phase_flow.json"
        if sub == "sub-11":
            side.unlink()
        elif sub == "sub-12":
            phase.write_bytes(phase.read_bytes()[:3000])
        elif sub == "sub-13":
            phase.unlink()
        elif sub == "sub-14":
            (folder / f"{sub}_flow_dseg.nii.gz").unlink()
        elif sub == "sub-15":
            side.write_text(json.dumps({"VENC": 160, "SequenceName": "fl2d1_v250in"}))
        else:
            write_bids(raw, sub, phantom(2), step_s=step, half=777.0)
    people = pd.DataFrame({"participant_id": sorted(p.name for p in raw.iterdir())})
    people["sex"] = ["F", "M"] * (len(people) // 2)
    people["age_years"] = np.linspace(45, 75, len(people))
    people["height_cm"], people["weight_kg"] = 180.0, 80.0
    people.to_csv(raw / "participants.tsv", sep="\t", index=False)
    config = {
        "protocol": "flow_2d", "study": {"name": "flow"},
        "source": {"kind": "bids", "root": "raw", "flow": {"positive": "head"}},
        "qc": {"thresholds": LIMITS},
        "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
    }  # fmt: skip
    (cwd / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake(cwd)
    return cwd / "results" / "flow"


def table(study, name: str) -> pd.DataFrame:
    return pd.read_parquet(study / "tables" / f"{name}.parquet").set_index("unit")


def test_every_good_plane_has_the_analytic_flow(study):
    found = table(study, "biomarkers")
    for number in range(1, N_GOOD + 1):
        made, row = phantom(number), found.loc[f"sub-{number:02d}"]
        for name, code in (("aorta", AORTA), ("pulmonary", PULMONARY)):
            forward, backward = made.truth_ml(code)
            assert row[f"{name}_net_ml"] == pytest.approx(forward - backward, abs=1.2)
            assert row[f"{name}_regurgitant_pct"] == pytest.approx(
                100 * backward / forward, abs=1.0
            )
        net = [np.subtract(*made.truth_ml(code)) for code in (PULMONARY, AORTA)]
        assert row["qp_qs"] == pytest.approx(net[0] / net[1], rel=0.03)
        assert row["cardiac_index_l_min_m2"] == pytest.approx(net[1] * 60 / RR_MS / 2.0, rel=0.03)
        assert (row["aorta_aliased_pct"] > 0.5) == (number % 2 == 1)
    assert found["desc_aorta_net_ml"].isna().all()


def test_damaged_visits_are_failed_records_by_reason(study):
    ledger = pd.read_parquet(study / "tables" / "ledger.parquet")
    for unit, (stage, reason) in DAMAGED.items():
        own = ledger[(ledger["unit"] == unit) & (ledger["stage"] == stage)]
        assert own[["status", "reason"]].to_numpy().tolist() == [["failed", reason]]
    for stage, rows in ledger.groupby("stage"):
        assert len(rows) == N_GOOD + len(DAMAGED), stage


def test_qc_asks_to_look_at_wrapped_planes_only(study):
    verdicts = table(study, "qc")["verdict"]
    good = [str(verdicts[f"sub-{number:02d}"]) for number in range(1, N_GOOD + 1)]
    assert good == ["review", "pass", "review", "pass"]


def test_the_report_shows_flow_by_vessel_and_says_what_it_stands_on(study):
    html = (study / "report" / "index.html").read_text(encoding="utf-8")
    for words in ("Flow by vessel", "Pulmonary trunk", "Regions came with the images"):
        assert words in html
    people = table(study, "participants")
    assert set(people["phase_stored_as"].dropna()) >= {"4096ths"}
    gaps = pd.read_parquet(study / "tables" / "fairness_groups.parquet")
    assert "aorta_net_ml" in set(gaps["outcome"])
