"""QC and biomarkers on expert labels of patients, and on simulated scans with known truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from popscan import qc
from popscan.io.acdc import Acdc
from popscan.protocols.cine_sax import qc as cine
from popscan.protocols.cine_sax.biomarkers import measure
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import SimulatedSubject, simulate_subject


@pytest.mark.data
def test_expert_labelled_patients_pass_or_ask_for_a_look(data_dir: Path) -> None:
    source = Acdc()
    verdicts: Counter[str] = Counter()
    failed: set[str] = set()
    for found in list(source.find(data_dir / "acdc"))[::9]:
        loaded = source.load(found.paths)
        scan, labels = loaded.scans["sax"], loaded.labels["sax"]
        checks = cine.check(scan, labels.array, frames=labels.frames)
        verdicts[qc.verdict(checks)] += 1
        failed |= {c.name for c in checks if c.verdict == "fail"}
        values = measure(
            labels.array, spacing_mm=scan.spacing_mm, frame_labels=scan.meta.get("frame_labels")
        )
        assert 40 < values["lvedv_ml"] < 400
        assert 5 < values["lvef_pct"] < 85
        assert 4 < values["wall_thickness_mean_mm"] < values["wall_thickness_max_mm"] < 30
    # Two slices of patient014 lie 28 mm beside the others: a failure, whatever its labels.
    assert failed <= {"slice_shift_mm"}
    assert verdicts["fail"] <= 1
    assert verdicts["pass"] >= verdicts["review"]


def simulated(fault: str | None = None, **options: Any) -> SimulatedSubject:
    people = sample_population(1, seed=5, faults={fault: 1.0} if fault else None)
    return simulate_subject(people.iloc[0].to_dict(), seed=5, kspace=False, **options)


def test_truth_of_a_simulated_heart_is_measured() -> None:
    subject = simulated(
        slice_distance_mm=5.0, slice_thickness_mm=5.0, spacing_mm=(2.4, 2.4), matrix=(96, 96)
    )
    values = measure(
        subject.labels.array,
        spacing_mm=subject.scan.spacing_mm,
        frame_times_ms=subject.scan.frame_times_ms,
    )
    for name in ("lvedv_ml", "lvesv_ml", "lvm_g", "rvedv_ml", "rvesv_ml", "hr_bpm"):
        assert values[name] == pytest.approx(subject.truth[name], rel=0.03), name
    for name in ("lvef_pct", "rvef_pct"):
        assert values[name] == pytest.approx(subject.truth[name], abs=1.5), name


def test_simulated_scan_passes() -> None:
    subject = simulated()
    checks = cine.check(subject.scan, subject.labels.array)
    assert qc.verdict(checks) == "pass", qc.reasons(checks)


@pytest.mark.parametrize(
    ("fault", "verdicts"),
    [
        ("motion", {"review", "fail"}),
        ("missing_slices", {"review", "fail"}),
        ("wrong_metadata", {"fail"}),
        ("missing_frames", {"fail"}),
        ("truncated", {"fail"}),
        ("corrupt_values", {"fail"}),
    ],
)
def test_simulated_fault_is_found(fault: str, verdicts: set[str]) -> None:
    subject = simulated(fault)
    checks = cine.check(subject.scan, subject.labels.array)
    assert qc.verdict(checks) in verdicts, qc.reasons(checks)
