"""Raw k-space through real Snakemake: ISMRMRD files to the report; each bad file fails alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pandas as pd
import pytest
import yaml

from kspace_files import Phantom, acquisitions_of, cine, header, header_of, line, write
from popscan.commands.check import check_study
from popscan.protocol import load
from popscan.protocols import get_protocol
from small_study import LIMITS, rows, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GOOD = ["sub-0001", "sub-0002"]
#: Subject -> reason of its failure.
BAD = {
    "sub-coils": "coil_count_differs",
    "sub-empty": "empty_kspace",
    "sub-limit": "encoding_limit",
    "sub-mixed": "mixed_slices",
    "sub-nan": "non_finite_kspace",
    "sub-spokes": "trajectory_missing",
    "sub-torn": "truncated_file",
}
#: What is in the good ones.
HEARTS: dict[str, Any] = {}
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "kspace", "root": "raw"},
    "plan": {"shard_size": 64, "max_failed_fraction": 1.0},
    "reconstruct": {"variants": {"cg_sense": {"method": "cg_sense"}}},
    "segment": {"model": "model"},
    "qc": {"thresholds": LIMITS},
    "atlas": {"enabled": False},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
}


def write_heart(cwd: Path, row: dict):
    """Four slices, three frames of a digital heart, as others would write them."""
    made = load(get_protocol("cine_sax").simulation.subject)(
        row, seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=3, slices=4, coils=4,
        acceleration=1.5,
    )  # fmt: skip
    sub, kspace = row["participant_id"], made.kspace
    if sub == GOOD[0]:
        path = cwd / "raw" / sub / f"{sub}_acq-sax_kspace.h5"
        write(path, header_of(kspace), acquisitions_of(kspace))
        return made
    # The other as an array, as MATLAB writes it, with what it lacks beside it.
    path = cwd / "raw" / sub / "cine_sax.mat"
    path.parent.mkdir(parents=True)
    pairs = np.empty(kspace.data.transpose(1, 2, 0, 3, 4).shape[::-1], "<f4,<f4")
    pairs.dtype.names = ("real", "imag")
    values = kspace.data.transpose(1, 2, 0, 3, 4).T
    pairs["real"], pairs["imag"] = values.real, values.imag
    with h5py.File(path, "w") as file:
        file["kspace_full"] = pairs
        file["kspace_full"].attrs["MATLAB_class"] = np.bytes_(b"single")
    side = {"affine": kspace.affine.tolist(), "frame_times_ms": kspace.frame_times_ms.tolist()}
    path.with_suffix(".json").write_text(json.dumps(side))
    return made


def write_bad(raw: Path) -> None:
    """Write what fails, each of its own kind."""
    phantom = Phantom(matrix=(16, 12), n_frames=2)

    def put(sub: str, lines=None, **changes) -> Path:
        lines = cine(phantom) if lines is None else lines
        return write(raw / sub / "cine_sax.h5", header(phantom, **changes), lines)

    torn = put("sub-torn")
    torn.write_bytes(torn.read_bytes()[:-3000])
    lines = cine(phantom)
    lines[3].data[:] = np.nan
    put("sub-nan", lines)
    lines = cine(phantom)
    for one in lines:
        one.data[:] = 0
    put("sub-empty", lines)
    few = Phantom(matrix=(16, 12), n_frames=2, n_coils=2)
    put("sub-coils", [line(few, s, z, t) if t else line(phantom, s, z, t)
                      for s in range(12) for z in range(3) for t in range(2)])  # fmt: skip
    limit = "encoding__0__encodingLimits__kspace_encoding_step_1__maximum"
    put("sub-limit", **{limit: 40})
    put("sub-spokes", encoding__0__trajectory=ismrmrd.xsd.trajectoryType.RADIAL)
    lines = cine(phantom)
    lines[0].position[0] += 30
    put("sub-mixed", lines)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("kspace")
    people = rows(GOOD)
    for row in people:
        HEARTS[row["participant_id"]] = write_heart(cwd, row)
    write_bad(cwd / "raw")
    table = pd.DataFrame(people)[["participant_id", "sex", "age_years"]]
    more = pd.DataFrame({"participant_id": list(BAD), "sex": "F", "age_years": 50})
    pd.concat([table, more]).to_csv(cwd / "raw" / "participants.tsv", sep="\t", index=False)
    (cwd / "model").symlink_to(Path(__file__).parents[1] / "resources" / "models" / "cine_sax")
    (cwd / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(cwd)
    return cwd


def table(cwd: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(cwd / "results" / "tiny" / "tables" / f"{name}.parquet")


def test_study_runs_from_raw_k_space_to_the_report(study):
    ledger = table(study, "ledger")
    for stage in ("ingest", "reconstruct", "segment", "biomarkers"):
        status = ledger[ledger["stage"] == stage].set_index("unit")["status"].to_dict()
        assert status == {
            **dict.fromkeys(GOOD, "ok"),
            **dict.fromkeys(BAD, "failed" if stage == "ingest" else "skipped"),
        }, stage
    assert (study / "results" / "tiny" / "report" / "index.html").is_file()
    assert table(study, "biomarkers")["lvedv_ml"].notna().sum() == len(GOOD)


def test_each_bad_file_has_its_own_reason_and_names_itself(study):
    failed = table(study, "ledger").query("stage == 'ingest' and status == 'failed'")
    assert failed.set_index("unit")["reason"].to_dict() == BAD
    for row in failed.itertuples():
        assert f"{row.unit}/cine_sax.h5" in row.message


def test_geometry_and_times_are_those_of_the_heart(study):
    from popscan.io import read_scan

    root = study / "results" / "tiny" / "derivatives"
    for sub, made in HEARTS.items():
        scan = read_scan(next((root / sub / "reconstruct").glob("*_acq-sax_cine.nii.gz")))
        np.testing.assert_allclose(scan.affine, made.kspace.affine, atol=1e-3)
        np.testing.assert_allclose(scan.frame_times_ms, made.kspace.frame_times_ms, atol=1.3)
        error = scan.array - made.scan.array
        assert np.linalg.norm(error) < 0.25 * np.linalg.norm(made.scan.array)


def test_check_opens_them(study, monkeypatch):
    monkeypatch.chdir(study)
    problems, notes = check_study(Path("config.yaml"), deep=True)
    assert any("views: sax (2)" in note for note in notes)
    for reason in BAD.values():
        assert any(f"`{reason}`" in problem for problem in problems), reason
