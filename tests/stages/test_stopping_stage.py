"""The stage stopping: how long a radial scan must be, in tables, report and audit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from popscan.fairness.outcomes import outcomes_table
from popscan.plan import Planned, write_plan
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.recon.radial import golden_angle_kspace
from popscan.recon.retrospective import simulated_kspace
from popscan.records import Outcome, Status, Subject
from popscan.run import run_shard
from popscan.stages.stopping.columns import values
from popscan.stages.stopping.options import Options
from popscan.stages.stopping.task import simulated_spokes, spokes_at, stopping_task
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.task import Task
from small_study import rows

CINE = get_protocol("cine_sax")
EASY, RADIAL = Subject(sub="sub-1"), Subject(sub="sub-2")
OPTIONS = {
    "enabled": True, "looks_s": [1.0, 4.0], "n_phases": 10, "tr_ms": 4.0, "coils": 3,
    "verdict": "fail", "expected_dice": 0.3, "options": {"prior": "zero", "n_iterations": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def made():
    """Return a small digital heart."""
    return simulate_subject(
        rows(["sub-1"])[0], seed=5, matrix=(64, 60), spacing_mm=(3.4, 3.4), frames=3, slices=3,
        kspace=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory, made):
    """Return the context after the stage: one subject with images, one with spokes."""
    full = simulated_kspace(made.scan, acceleration=1.0, coils=2, noise=0.0, centre_lines=1)
    spokes = golden_angle_kspace(full, n_spokes=60, n_phases=3)
    store = Store(tmp_path_factory.mktemp("study"))
    planned = [Planned(subject=EASY), Planned(subject=RADIAL)]
    write_plan(store.root, planned, shard_size=2)
    options = {
        "version": "1", "study": {"name": "x", "seed": 1}, "stages": {"stopping": OPTIONS},
        "segment": {"model": "cine_sax", "method": "bundle"},
        "biomarkers": {"method": CINE.biomarkers.method}, "qc": {},
    }  # fmt: skip
    context = ShardContext(store=store, shard="00000", options=options)
    names = context.names
    files = {
        EASY.unit: {names.image(EASY): made.scan},
        RADIAL.unit: {names.kspace(RADIAL): spokes},
    }
    ingest = Task(
        stage="ingest", version="1", options={}, reads=lambda s: {}, load=lambda s: None,
        work=lambda s, _: Outcome(files=files[s.unit]), write=names.write,
    )  # fmt: skip
    run_shard(store, ingest, "00000", planned)
    run_shard(store, stopping_task(context), "00000", planned)
    return ShardContext(store=store, shard="00000", options=options)


def test_every_subject_gets_the_length_of_its_scan(study):
    easy, radial = (study.record("stopping", subject) for subject in (EASY, RADIAL))
    for record in (easy, radial):
        assert record.status is Status.OK, record.message
        assert set(record.values) == set(values(CINE))
    assert easy.values["simulated_spokes"]
    assert not radial.values["simulated_spokes"]
    assert (easy.values["scan_seconds"], easy.values["n_spokes"]) == (1.0, 25)
    assert easy.values["passed"]
    assert easy.values["full_seconds"] == 4.0
    assert 0.5 < easy.values["dice_mean"] <= 1
    # Sixty spokes of three phases at 4 ms: the scan is over before the first look of all.
    assert radial.values["full_seconds"] == pytest.approx(0.72)


def test_looks_are_those_that_the_scan_lasts_for(made):
    options = Options.model_validate(OPTIONS)
    kspace = simulated_spokes(made.scan, options=options, seed=2)
    assert kspace.matrix == (64, 60)
    assert dict(spokes_at(kspace, options)) == {25: 1.0, 100: 4.0}
    again = simulated_spokes(made.scan, options=options, seed=2)
    np.testing.assert_array_equal(kspace.data, again.data)
    with pytest.raises(ValidationError, match="rising"):
        Options.model_validate({"looks_s": [4, 2]})


def test_fairness_asks_who_needs_longer_scanning():
    table = pd.DataFrame(
        {"unit": ["sub-1", "sub-2"], "scan_seconds": [4.0, 12.0], "lvef_pct_error": [-2.0, 0.0]}
    )
    found = outcomes_table(scan_lengths=table)
    named = found.groupby("outcome", observed=True)["value"].max()
    assert named.to_dict() == {"scan_seconds": 12.0, "lvef_pct_abs_error_by_stopping": 2.0}
    assert set(found["stage"]) == {"stopping"}
    assert set(found["better_is"]) == {"lower"}
