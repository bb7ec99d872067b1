"""An image study that is undersampled in retrospect: its images are the reference."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from popscan.config import Config, Reconstruct
from popscan.plan import Planned, write_plan
from popscan.protocols import get_protocol
from popscan.records import LabelMap, Outcome, Scan, Status, Subject
from popscan.report.context import StudyContext
from popscan.report.figures.gallery import Gallery
from popscan.report.sections.common import Options
from popscan.report.sections.reconstruction import reconstruction
from popscan.run import run_shard
from popscan.stages.reconstruct.images import reference_image
from popscan.stages.reconstruct.task import reconstruct_task, task_options
from popscan.stages.report.gallery import recon_gallery, retrospective_note
from popscan.stages.score.task import _recon_images, _score_images
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.task import Task

SUBJECT = Subject(sub="sub-1")
SECTION = {
    "use": "cs_tv",
    "variants": {"cs_tv": {"method": "cs_tv"}, "zero_filled": {"method": "zero_filled"}},
    "retrospective": {"acceleration": 2, "centre_lines": 10, "coils": 3, "oversampled": 1.2},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the context of a study of one subject after ingest and reconstruct."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in (32, 28)), indexing="ij")
    frames = [(x**2 + y**2 < r) * 0.6 + (abs(x) < 0.8) * (abs(y) < 0.7) * 0.4 for r in (0.1, 0.2)]
    array = np.stack(frames, axis=-1)[:, :, None].astype(np.float32)
    scan = Scan(array=array, affine=np.diag([2.0, 2, 8, 1]), spacing_mm=(2.0, 2.0, 8.0))
    store = Store(tmp_path_factory.mktemp("study"))
    planned = [Planned(subject=SUBJECT)]
    write_plan(store.root, planned, shard_size=1)
    options = {"reconstruct": SECTION, "version": "1", "study": {"name": "x", "seed": 1}}
    context = ShardContext(store=store, shard="00000", options=options)
    name = context.names.image(SUBJECT)
    ingest = Task(
        stage="ingest", version="1", options={}, reads=lambda s: {}, load=lambda s: scan,
        work=lambda s, loaded: Outcome(files={name: loaded}), write=context.names.write,
    )  # fmt: skip
    run_shard(store, ingest, "00000", planned)
    run_shard(store, reconstruct_task(context), "00000", planned)
    return ShardContext(store=store, shard="00000", options=options), scan


def test_every_variant_is_made_on_the_images_grid(study):
    context, scan = study
    record = context.record("reconstruct", SUBJECT)
    assert record.status is Status.OK, record.message
    images = _recon_images(context, SUBJECT)
    assert sorted(images) == ["cs_tv", "reference", "zero_filled"]
    for image in images.values():
        assert image.array.shape == scan.array.shape
        np.testing.assert_allclose(image.affine, scan.affine, atol=1e-5)
    np.testing.assert_allclose(images["reference"].array, scan.array, rtol=1e-5)
    assert reference_image(context, SUBJECT) == context.names.image(SUBJECT)


def test_scores_and_gallery_show_what_was_lost(study):
    context, scan = study
    labels = LabelMap(array=(scan.array > 0.7).astype(np.uint8), frames=(0, 1))
    rows = _score_images(SUBJECT, _recon_images(context, SUBJECT), labels.array)
    by_variant = {row["variant"]: row for row in rows}
    for column in ("nrmse", "nrmse_whole", "hfen", "hfen_whole"):
        assert by_variant["cs_tv"][column] < by_variant["zero_filled"][column]
    scores = pd.DataFrame(rows)
    shown = recon_gallery(context.store, scores, get_protocol("cine_sax"))
    assert isinstance(shown, Gallery)
    assert shown.error_of("cs_tv") < shown.error_of("zero_filled")
    note = retrospective_note({"reconstruct": SECTION})
    page = StudyContext(recon_scores=scores, retrospective=note, gallery=shown)
    section = reconstruction(page, Options())
    assert [block.kind for block in section.blocks] == ["text", "figure", "table", "figure"]
    assert "Shimron" in section.blocks[0].text
    assert [b.kind for b in reconstruction(page, Options(share=True)).blocks][-1] == "table"


def test_a_gallery_whose_images_storage_removed_says_so(study):
    context, _ = study
    scores = pd.DataFrame({"unit": ["sub-1"], "variant": ["cs_tv"], "nrmse": [0.1]})
    store, protocol = context.store, get_protocol("cine_sax")
    unit = SUBJECT.unit
    scores["unit"] = unit
    record = context.record("reconstruct", SUBJECT)
    with store.journal("reconstruct", context.shard).writer(patience_s=1.0) as writer:
        writer.stored(replace(record, files={}, removed=dict.fromkeys(record.files, "0")))
    shown = recon_gallery(store, scores, protocol)
    with store.journal("reconstruct", context.shard).writer(patience_s=1.0) as writer:
        writer.stored(record)
    assert isinstance(shown, str)
    assert f"popscan storage results/STUDY --restore {unit}" in shown
    for row in ("nrmse_whole", "psnr_db", "ssim", "hfen"):
        scores[row] = 0.1
    section = reconstruction(StudyContext(recon_scores=scores, gallery=shown), Options())
    assert section.blocks[-1].text == shown
    assert isinstance(recon_gallery(store, scores, protocol), Gallery)


def test_studies_without_it_keep_their_fingerprints():
    plain = Reconstruct()
    assert "retrospective" not in task_options(plain)
    assert task_options(Reconstruct.model_validate(SECTION))["retrospective"]["coils"] == 3
    assert Config.model_fields["reconstruct"].default.retrospective is None
    assert retrospective_note({"reconstruct": plain.model_dump()}) == ""
