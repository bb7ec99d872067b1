"""The read-model: every stage has the same attributes, the same subjects, and loses none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from popscan import stages
from popscan.commands.status import format_status, study_status
from popscan.config import Config
from popscan.plan import Planned, read_shard, write_plan
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import (
    LabelMap,
    NotApplicable,
    Outcome,
    PopscanError,
    Status,
    Subject,
    SubjectError,
)
from popscan.run import run_shard
from popscan.stages.associate.job import analysed_table
from popscan.stages.atlas.job import map_shard, prepare_shard, reduce_round
from popscan.stages.atlas.members import write_members
from popscan.stages.atlas.results import write_atlas
from popscan.stages.biomarkers.task import body_size
from popscan.stages.collect.job import collect
from popscan.stages.fairness.inputs import audit_inputs
from popscan.stages.rca.task import make_references
from popscan.stages.visibility.job import features_shard
from popscan.stages.visibility.subjects import attributes_to_see, features_account
from popscan.store import Store
from popscan.study.accounts import Account, read_account, study_account
from popscan.study.context import ShardContext
from popscan.study.files import FileNames
from popscan.study.study import Study
from popscan.study.tables import read_table
from popscan.task import Task

NAMES = FileNames(get_protocol("cine_sax"))

N, SHARD = 8, "00000"
#: QC fails the first two; the third has nothing that makes a heart; the fourth was not segmented.
FAIL, HEARTLESS, UNSEGMENTED = ("sub-0001", "sub-0002"), "sub-0003", "sub-0004"
CONFIG = {
    "source": {"kind": "bids"},
    "atlas": {
        "groups": ["sex", "race", "age_band"], "iterations": 1, "min_group": 2, "spacing_mm": 8.0,
    },
    "rca": {"n_references": 8, "balance_by": ["race", "age_band"], "references": "study"},
    "visibility": {"sources": ["labels"], "attributes": ["race", "age_band"], "enabled": True},
    "fairness": {
        "codings": {"race": {"1": "European", "2": "African"}}, "age_bands_years": [0, 60],
        "attributes": ["sex", "race"],
    },
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A study of which all stages have records, and where its overrides are read from."""

    store: Store
    overrides: Path

    def options(self, **qc: Any) -> dict[str, Any]:
        """Config sections, and a version, as stages are given them."""
        return {**Config.model_validate({**CONFIG, "qc": qc}).model_dump(), "version": "1"}

    def run(self, overrides: str = "") -> tuple[Study, dict[str, Any]]:
        """Collect the study and make its atlas, as the rules do."""
        given = {"overrides": str(self.overrides)} if overrides else {}
        header = "participant_id\tverdict\treason\tname\n"
        self.overrides.write_text(header + overrides)
        options, root = self.options(**given), self.store.root
        collect(self.store, options)
        work = root / "atlas" / "work"
        prepared = work / "prepared" / f"{SHARD}.npz"
        if not prepared.exists():
            used = stages.STAGES["atlas_prepare"].sections_of(options)
            prepare_shard(self.store, SHARD, {**options, **used}, prepared)
        write_members(root, options, work / "members.parquet")
        sums, template = work / "sums-0" / f"{SHARD}.npz", work / "template-0.npz"
        map_shard(prepared, work / "members.parquet", None, options, sums)
        reduce_round(root, 0, None, options, template)
        write_atlas(root, template, options)
        return Study.of_tables(root, options), json.loads((root / "atlas/atlas.json").read_text())


def scripted(stage: str, outcomes: dict[str, Any], upstream: tuple[str, ...] = ()) -> Task:
    """A stage whose outcomes are given, run by the real runner."""

    def work(subject: Subject, _: object) -> Outcome:
        outcome = outcomes[subject.unit]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Task(
        stage=stage, version="1", options={}, reads=lambda s: {}, load=lambda s: None, work=work,
        write=NAMES.write, upstream=upstream,
    )  # fmt: skip


def verdict_of(unit: str) -> Outcome:
    if unit not in FAIL:
        return Outcome(values={"verdict": "pass", "failed": "", "review": ""})
    values = {"verdict": "fail", "failed": "snr", "review": ""}
    return Outcome(values=values, status=Status.EXCLUDED, reason="qc_fail", message="QC: snr")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    root = tmp_path_factory.mktemp("study")
    people = sample_population(N, seed=2, allocation="quota")
    rows = {}
    for i, row in enumerate(people.to_dict("records")):
        kept = {k: str(v) for k, v in row.items() if not k.startswith("truth_")}
        rows[str(row["participant_id"])] = {**kept, "race": "12"[i % 2], "age_years": f"{55 + i}"}
    planned = [Planned(subject=Subject(sub=unit, row=row)) for unit, row in rows.items()]
    write_plan(root, planned, shard_size=64)
    planned = read_shard(root, SHARD)
    outcomes: dict[str, dict[str, Any]] = {"ingest": {}, "segment": {}, "biomarkers": {}}
    for item, row in zip(planned, people.to_dict("records"), strict=True):
        subject, unit = item.subject, item.subject.unit
        scan = simulate_subject(row, seed=2, kspace=False, matrix=(48, 48), spacing_mm=(5.0, 5.0),
                                frames=2, fine=(1, 1))  # fmt: skip
        labels = scan.labels.array.copy()
        if unit == HEARTLESS:
            labels[labels == Label.MYO] = 0
        files = {NAMES.image(subject): scan.scan}
        files[NAMES.labels(subject, desc="reference")] = (scan.labels, scan.scan)
        outcomes["ingest"][unit] = Outcome(files=files, values={"manufacturer": "A"})
        mask = LabelMap(array=labels, frames=scan.labels.frames)
        outcomes["segment"][unit] = Outcome(files={NAMES.labels(subject): (mask, scan.scan)})
        outcomes["biomarkers"][unit] = Outcome(values={"lvedv_ml": 150.0, "lvef_pct": 60.0})
    outcomes["segment"][UNSEGMENTED] = SubjectError(
        "wrong_shape", "no image that the model can see"
    )
    nothing = dict.fromkeys(rows, NotApplicable("image_study", "images"))
    outcomes |= {"reconstruct": nothing, "score": nothing}
    outcomes["qc"] = {unit: verdict_of(unit) for unit in rows}
    above = {"reconstruct": ("ingest",), "segment": ("reconstruct",)}
    for stage in ("ingest", "reconstruct", "segment", "score", "qc", "biomarkers"):
        upstream = above.get(stage, () if stage == "ingest" else ("segment",))
        run_shard(Store(root), scripted(stage, outcomes[stage], upstream), SHARD, planned)
    return Made(store=Store(root), overrides=tmp_path_factory.mktemp("person") / "overrides.tsv")


def in_atlas(study: Study) -> set[str]:
    account = study.table("atlas_subjects")
    assert list(account["unit"]) == study.units  # one row each
    return set(account.loc[account["status"] == "ok", "unit"])


def test_overrides_reach_every_stage_in_both_directions(made, tmp_path):
    study, atlas = made.run()
    everybody = {f"sub-{i:04d}" for i in range(1, N + 1)} - {UNSEGMENTED}
    assert study.analysed == everybody - set(FAIL)
    assert in_atlas(study) == study.analysed - {HEARTLESS}
    assert atlas["groups"]["all"]["n_subjects"] == len(in_atlas(study))
    study, atlas = made.run("sub-0001\tpass\tlooked at\tme\nsub-0005\tfail\tghost\tme\n")
    assert study.analysed == everybody - {"sub-0002", "sub-0005"}
    assert in_atlas(study) == study.analysed - {HEARTLESS}
    assert atlas["groups"]["all"]["n_subjects"] == len(in_atlas(study))
    lost = study.table("atlas_subjects").set_index("unit").loc["sub-0005"]
    assert tuple(lost) == ("skipped", "qc_fail", "overridden: ghost")
    references = made.options(overrides=str(made.overrides))
    chosen = make_references(made.store, references, tmp_path / "references.npz")
    assert set(chosen) == everybody - {"sub-0002", "sub-0005"} | {UNSEGMENTED}
    assert set(analysed_table(study.root, study.options)["unit"]) == study.analysed
    assert set(audit_inputs(study).measured["unit"]) == study.analysed


def test_a_subject_that_cannot_be_used_has_a_row_with_its_reason(made):
    study, _ = made.run()
    account = study.table("atlas_subjects").set_index("unit")
    assert account.loc[HEARTLESS, ["status", "reason"]].tolist() == ["failed", "missing_structure"]
    assert account.loc[UNSEGMENTED, "status"] == "skipped"
    assert account.loc[FAIL[0], ["status", "reason"]].tolist() == ["skipped", "qc_fail"]
    outcomes = audit_inputs(study).outcomes
    failed = outcomes[outcomes["outcome"] == "atlas_failed"].set_index("unit")["value"]
    assert failed[HEARTLESS] == 1
    assert failed.sum() == 1


def test_status_counts_every_subject_of_the_atlas(made):
    study, _ = made.run()
    atlas = next(status for status in study_status(made.store) if status.stage == "atlas")
    assert atlas.n_pending == 0
    assert atlas.statuses == study.table("atlas_subjects")["status"].value_counts().to_dict()
    assert f"atlas: missing_structure (1), e.g. {HEARTLESS}" in format_status([atlas])


def test_stages_ask_the_study_and_read_no_journal():
    folder = Path(stages.__file__).parent
    own = {
        folder / "experiment" / "job.py",  # its records are of trials, not of subjects
        folder / "restoring.py",  # notes that files were given back
    }
    reading = {path for path in folder.rglob("*.py") if ".journal(" in path.read_text()}
    assert reading == own


def test_features_account_for_every_subject(made, tmp_path):
    study, _ = made.run()
    features_shard(made.store, SHARD, made.options(), tmp_path / "features.npz")
    account = features_account(study, [tmp_path / "features.npz"]).set_index("unit")
    assert list(account.index) == study.units
    assert account.loc[HEARTLESS, ["status", "reason"]].tolist() == ["failed", "missing_structure"]
    assert set(account.index[account["status"] == "ok"]) == study.analysed - {HEARTLESS}


def test_all_stages_have_the_same_decoded_and_derived_groups(made):
    study, atlas = made.run()
    groups = study.attributes.loc[sorted(in_atlas(study))]
    for name in ("race", "age_band"):
        counts = groups[name].value_counts()
        for group, n in counts[counts > 1].items():
            assert atlas["groups"][f"{name}={group}"]["n_subjects"] == n
    assert {"race=European", "age_band=60+"} <= set(atlas["groups"])
    assert attributes_to_see(study) == ["race", "age_band"]
    assert set(analysed_table(study.root, study.options)["race"]) == {"European", "African"}
    assert set(audit_inputs(study).attributes["race"]) == {"European", "African"}


def test_manifests_and_tables_say_the_same(made):
    study, _ = made.run("sub-0005\tfail\tghost\tme\n")
    options = made.options(overrides=str(made.overrides))
    before = Study.of_manifests(made.store, options)
    pd.testing.assert_frame_equal(before.attributes, study.attributes)
    assert before.excluded == study.excluded == {*FAIL, "sub-0005"}
    names = ["race", "age_band", "absent"]
    pd.testing.assert_frame_equal(before.groups(names), study.groups(names))


def test_sums_are_kept_until_something_else_goes_into_them(made):
    root = made.store.root
    made.run()
    sums = root / "atlas" / "work" / "sums-0" / f"{SHARD}.npz"
    kept, before = sums.stat().st_ino, sums.read_bytes()
    sums.unlink()
    made.run()
    assert (sums.stat().st_ino, sums.read_bytes()) == (kept, before)
    made.run("sub-0005\tfail\tghost\tme\n")
    assert sums.read_bytes() != before
    with sums.open("r+b") as stream:  # both names of the file are damaged
        stream.write(b"damaged")
    made.run("sub-0005\tfail\tghost\tme\n")
    with np.load(sums, allow_pickle=False) as stored:
        assert "sub-0005" not in stored["units"]


def test_a_subject_in_no_account_or_in_two_stops_the_stage(made, tmp_path):
    study, _ = made.run()
    account = Account()
    for unit in sorted(study.analysed)[1:]:
        account.add(unit, Status.OK)
    np.savez(tmp_path / "one.npz", **account.to_arrays())
    with pytest.raises(PopscanError, match="1 have no record"):
        study_account(study, read_account([tmp_path / "one.npz"]), stage="atlas")
    twice = read_account([tmp_path / "one.npz"] * 2)
    with pytest.raises(PopscanError, match="doubled"):
        study_account(study, twice, stage="atlas")
    np.savez(tmp_path / "none.npz", unit=np.array(["sub-0001"]))
    with pytest.raises(PopscanError, match="no account"):
        read_account([tmp_path / "none.npz"])


def test_the_ledger_as_it_counts_says_why(made):
    study, _ = made.run("sub-0001\tpass\tlooked at\tme\n")
    at_qc = study.ledger[study.ledger["stage"] == "qc"].set_index("unit")
    assert at_qc.loc["sub-0001", ["status", "reason"]].tolist() == ["ok", ""]
    assert at_qc.loc["sub-0002", ["status", "reason"]].tolist() == ["excluded", "qc_fail"]
    raw = read_table(study.root, "ledger")
    assert raw.loc[(raw["stage"] == "qc") & (raw["unit"] == "sub-0001"), "status"].item() == (
        "excluded"
    )


def test_body_size_of_biomarkers_is_that_of_the_attributes(made):
    options = made.options()
    heights = read_table(made.run()[0].root, "participants").set_index("unit")["height_cm"]
    options["cohort"]["special_codes"] = {"height_cm": [heights["sub-0001"]], "weight_kg": []}
    options["cohort"]["plausible"]["height_cm"] = [100.0, heights.drop("sub-0001").max() - 0.01]
    context = ShardContext(store=made.store, shard=SHARD, options=options)
    attributes = Study.of_tables(made.store.root, options).attributes
    found = [
        {"unit": planned.subject.unit, **body_size(context, planned.subject)}
        for planned in read_shard(made.store.root, SHARD)
    ]
    measured = pd.DataFrame(found).set_index("unit")
    pd.testing.assert_frame_equal(measured, attributes[list(measured)], check_names=False)
    assert measured["height_cm"].isna().sum() == 2
