"""What reconstructions do to labels and biomarkers: stage, table, report and audit."""

import numpy as np
import pandas as pd
import pytest

from popscan.config import Biomarkers, Reconstruct, Segment
from popscan.fairness.outcomes import outcomes_table
from popscan.io import read_labels, read_scan
from popscan.plan import Planned, write_plan
from popscan.protocols import get_protocol
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import LabelMap, Outcome, Status, Subject
from popscan.report.context import StudyContext
from popscan.report.names import name_of
from popscan.report.sections.common import Options
from popscan.report.sections.reconstruction import reconstruction
from popscan.report.text import DASH, decimals
from popscan.run import run_shard
from popscan.segment import load_bundle
from popscan.stages.reconstruct.task import reconstruct_task
from popscan.stages.segment.bundles import bundle_path
from popscan.stages.segment.task import segment_task
from popscan.stages.variants.columns import scores
from popscan.stages.variants.sufficient import Limits, judge
from popscan.stages.variants.task import agreement, errors, variants_task
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.task import Task
from small_study import rows

CINE = get_protocol("cine_sax")
BIOMARKERS = CINE.biomarkers.method
SUBJECT, BARE = Subject(sub="sub-1"), Subject(sub="sub-2")
#: `full` gives back what the reference image shows, `smooth` is pulled to the mean of all frames.
SECTION = {
    "use": "full",
    "variants": {
        "full": {"method": "zero_filled"},
        "smooth": {"method": "cg_sense", "options": {"lam": 30.0}},
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the context after reconstruct, segment and variants; the second has no reference."""
    made = simulate_subject(
        rows(["sub-1"])[0], seed=5, matrix=(64, 64), spacing_mm=(3.4, 3.4), frames=3, slices=4,
        coils=4, acceleration=1.0,
    )  # fmt: skip
    store = Store(tmp_path_factory.mktemp("study"))
    planned = [Planned(subject=SUBJECT), Planned(subject=BARE)]
    write_plan(store.root, planned, shard_size=2)
    options = {
        "reconstruct": SECTION, "version": "1",
        "segment": {"model": "cine_sax", "method": "bundle"},
        "study": {"name": "x", "seed": 1}, "biomarkers": {"method": BIOMARKERS},
        "stages": {"variants": {"enabled": True}},
    }  # fmt: skip

    def context():
        return ShardContext(store=store, shard="00000", options=options)

    names = context().names

    def ingested(subject, _):
        files = {names.kspace(subject): made.kspace}
        if subject == SUBJECT:
            files[names.image(subject, desc="reference")] = made.scan
            files[names.labels(subject, desc="reference")] = (made.labels, made.scan)
        return Outcome(files=files)

    ingest = Task(
        stage="ingest", version="1", options={}, reads=lambda s: {}, load=lambda s: None,
        work=ingested, write=names.write,
    )  # fmt: skip
    run_shard(store, ingest, "00000", planned)
    for task in (reconstruct_task, segment_task, variants_task):
        run_shard(store, task(context()), "00000", planned)
    return context()


@pytest.fixture(scope="module")
def table(study):
    """Return a table of four subjects, without any run."""
    one = {"lvef_pct": 55.0, "lvef_pct_error": -4.0, "lvedv_ml": 150.0, "lvedv_ml_error": 6.0}
    return pd.DataFrame(
        {"unit": f"sub-{i}", "variant": name, "dice_mean": 0.9, **one}
        for i in range(4)
        for name in ("full", "smooth")
    )


def test_every_variant_is_held_against_the_reference_image(study):
    record = study.record("variants", SUBJECT)
    assert record.status is Status.OK, record.message
    table = pd.DataFrame(record.rows)
    assert set(table.columns) - {"unit"} == set(scores(CINE))
    by_variant = table.set_index("variant")
    assert by_variant["in_use"].to_dict() == {"full": True, "smooth": False}
    # Fully sampled and reconstructed without loss: the same image but for its noise.
    assert by_variant.loc["full", "dice_mean"] > 0.95
    assert abs(by_variant.loc["full", "lvef_pct_error"]) < 5
    assert by_variant.loc["smooth", "dice_mean"] < by_variant.loc["full", "dice_mean"]
    # Pulled towards the mean over time, a heart beats less.
    assert by_variant.loc["smooth", "lvef_pct_error"] < -2
    reference = by_variant["lvef_pct"] - by_variant["lvef_pct_error"]
    assert reference.nunique() == 1


def test_subjects_without_a_reference_image_have_their_record(study):
    record = study.record("variants", BARE)
    assert (record.status, record.reason) == (Status.NOT_APPLICABLE, "no_reference_image")


def test_images_are_sufficient_by_checks_expected_dice_and_width_of_intervals(study):
    scan = read_scan(study.path("reconstruct", SUBJECT, study.names.image(SUBJECT)))
    options = {
        "protocol": CINE, "bundle": load_bundle(bundle_path("cine_sax"), "cpu"),
        "segment": Segment(method="bundle"), "biomarkers": Biomarkers(method=BIOMARKERS),
    }  # fmt: skip
    small = ("frame_count", "slice_count", "apical_coverage_pct", "lv_open_pct", "ood")
    lax = Limits(verdict="fail", expected_dice=0.01, widths={"lvef_pct": 100.0})
    passed, judged = judge(scan, limits=lax, **options)
    assert passed
    assert judged.reasons == ()
    written = read_labels(study.path("segment", SUBJECT, study.names.labels(SUBJECT)))
    np.testing.assert_array_equal(judged.labels.array, written.array)
    values = judged.biomarkers
    width = values["lvef_high_pct"] - values["lvef_low_pct"]
    dice = min(values[f"expected_dice_{name}"] for name in CINE.labels.codes)
    strict = Limits(
        verdict="fail", expected_dice=dice + 1e-3, widths={"lvef_pct": width - 0.1, "nothing_g": 9}
    )
    passed, judged = judge(scan, limits=strict, **options)
    assert not passed
    assert {"lvef_pct", "nothing_g"} < set(judged.reasons)
    assert any(reason.startswith("expected_dice_") for reason in judged.reasons)
    _, judged = judge(scan, limits=Limits(verdict="pass", unchecked=small), **options)
    assert not set(judged.reasons) & set(small)


def test_report_shows_them_beside_the_images_scores(table):
    page = StudyContext(variant_scores=table, protocol=CINE)
    (block,) = reconstruction(page, Options()).blocks
    titles = [column.title for column in block.columns]
    assert titles[:7] == ["Variant", "Subjects", "PSNR (dB)", "SSIM", "NRMSE", "HFEN", "Dice"]
    assert len(block.rows) == 2
    assert len({len(row) for row in block.rows} | {len(titles)}) == 1
    lvef = block.rows[1][titles.index(name_of("lvef_pct").full())]
    assert (lvef.text, lvef.sort) == (f"{decimals(-4.0, 1)} (4.0)", 4.0)
    images = table.assign(psnr_db=30.0, ssim=0.9, nrmse=0.1, hfen=0.2)
    shown = reconstruction(StudyContext(recon_scores=images, variant_scores=table), Options())
    assert [one.kind for one in shown.blocks] == ["figure", "table", "table"]
    shared = Options(share=True)
    (hidden,) = reconstruction(page, shared).blocks
    assert {cell.text for cell in hidden.rows[0][2:]} == {DASH}


def test_fairness_compares_groups_in_every_variant(table):
    outcomes = outcomes_table(variant_scores=table)
    assert outcomes.groupby("outcome", observed=True)["unit"].nunique().eq(4).all()
    found = outcomes.drop_duplicates("outcome").set_index("outcome")
    assert found.loc["lvef_pct_abs_error_by_smooth", "better_is"] == "lower"
    assert found.loc["dice_mean_by_full", "better_is"] == "higher"
    assert found["value"].ge(0).all()
    assert found.index.nunique() == 2 * 3
    assert name_of("dice_mean_by_cg_sense").title == "Mean Dice, by CG-SENSE"
    assert name_of("lvef_pct_abs_error_by_smooth").unit == "%"


def test_agreement_counts_structures_that_neither_has_in_no_mean():
    array = np.zeros((4, 4, 1, 2), np.uint8)
    array[:2, :, :, 0] = 3
    half = array.copy()
    half[1, :, :, 0] = 0
    found = agreement(
        CINE, LabelMap(array=half, frames=(0, 1)), LabelMap(array=array, frames=(0, 1))
    )
    assert found["dice_mean"] == pytest.approx(2 * 4 / 12)
    assert sum(np.isfinite(v) for v in found.values()) == 2
    assert np.isnan(errors(CINE, {}, {})["lvef_pct_error"])
    assert Reconstruct.model_validate(SECTION).use == "full"
