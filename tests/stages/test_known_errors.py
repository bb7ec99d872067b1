"""The report says how the model erred on its validation subjects, where the reader begins."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import yaml

from popscan.config import Segment
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.report import volumes_over_age
from popscan.report import StudyContext, render_study
from popscan.report.sections.common import Options
from popscan.report.sections.extra import sections
from popscan.stages.report.known_errors import (
    bias_sentences,
    errors_of,
    model_errors,
    model_section,
)
from popscan.stages.segment.bundles import model_of

BRAIN = get_protocol("brain_t1")
CONFIG = {"protocol": "brain_t1"}


def bundle(folder, rows):
    folder.mkdir(exist_ok=True)
    about = {"validation": {"n_subjects": 4, "by_structure": rows}}
    (folder / "model.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    return {**CONFIG, "segment": {"model": str(folder)}}


def row(structure, bias_pct):
    return {"structure": structure, "dice_mean": 0.8, "bias_pct": bias_pct}


@pytest.mark.parametrize("off", [12.0, -15.0])
def test_volumes_that_are_off_stand_at_the_beginning(tmp_path, off):
    rows = [row("pallidum_left", off), row("brainstem", 2.0)]
    extra = model_section(tmp_path, bundle(tmp_path / "b", rows))
    words = BRAIN.labels.words["pallidum_left"]
    assert f"{words} {off:+.0f}%" in extra.headline[0]
    assert "of 1 of 2 structures" in extra.headline[0]
    assert "the 4 subjects" in extra.headline[0]
    people = pd.DataFrame({"unit": ["sub-1"]})
    context = StudyContext(name="brains", protocol=BRAIN, participants=people, extras=[extra])
    pages = render_study(context, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert pages
    assert page.index(f"{off:+.0f}%") < page.index('id="model-errors"')
    for share in (False, True):
        made = sections(context, Options(share=share, minimum=5))
        assert [one.ident for one in made] == ["model-errors"]


def test_small_deviations_are_no_warning_but_in_the_table(tmp_path):
    extra = model_section(tmp_path, bundle(tmp_path / "b", [row("brainstem", 9.9)]))
    assert not extra.headline
    assert extra.tables[0][1]["bias_pct"].tolist() == [9.9]


def test_a_bundle_that_says_nothing_by_structure_has_no_section(tmp_path):
    assert model_section(tmp_path, bundle(tmp_path / "b", [])) is None
    assert errors_of({"by_structure": "none"}).empty
    assert bias_sentences(pd.DataFrame(), BRAIN.labels, who="nobody") == []


def test_labels_that_came_with_the_images_are_no_models(tmp_path):
    assert model_section(tmp_path, {"protocol": "cine_lax"}) is None


def test_a_model_that_saw_simulated_images_only_says_so_where_the_reader_begins(tmp_path):
    folder = tmp_path / "model"
    config = bundle(folder, [{**row("pallidum_left", 1.0), "view": "4ch"}])
    about = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    assert model_section(tmp_path, config).headline == []
    about["validation"]["simulated_only"] = True
    (folder / "model.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    extra = model_section(tmp_path, config)
    assert "has not been measured" in extra.headline[0]
    assert extra.shared_headline == extra.headline
    assert list(extra.tables[0][1]["view"]) == ["4ch"]


@pytest.mark.parametrize(
    ("protocol", "method"), [("cine_lax", "bundle"), ("t1_map", "probabilistic")]
)
@pytest.mark.parametrize("rows", [[], [{"structure": "wall", "dice_mean": 0.9}]])
def test_a_model_that_states_no_validation_is_named_where_the_reader_begins(
    tmp_path, protocol, method, rows
):
    config = {**bundle(tmp_path / "b", rows), "protocol": protocol}
    config["segment"]["method"] = method
    extra = model_section(tmp_path, config)
    assert "does not state" in extra.headline[0]
    assert bool(extra.tables) == bool(rows)
    about = {"validation": {"simulated_only": False, "by_structure": rows}}
    (tmp_path / "b" / "model.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    stated = model_section(tmp_path, config)
    assert stated is None if not rows else not stated.headline


@pytest.mark.parametrize("name", ["brain_t1", "cine_sax"])
def test_shipped_bundles_have_their_section(tmp_path, name):
    extra = model_section(tmp_path, {"protocol": name})
    titles = set(get_protocol(name).labels.titles.values())
    assert set(extra.tables[0][1]["structure"]) <= titles
    assert "Mean Dice on the" in extra.sentences[0]


def test_asymmetry_stands_beside_that_of_the_model():
    units = [f"sub-{k}" for k in range(6)]
    people = pd.DataFrame({"unit": units, "sex": ["female", "male"] * 3, "age_years": 60.0})
    measured = pd.DataFrame({"unit": units, "hippocampus_asymmetry_pct": 9.0})
    context = StudyContext(
        protocol=BRAIN, participants=people, biomarkers=measured, model_errors=model_errors(CONFIG)
    )
    made = volumes_over_age(context)
    table = made.tables[-1][1]
    # +11.39% on the left, +1.92% on the right: equal sides of 100 become 111.39 and 101.92.
    assert table["model_pct"].tolist() == [pytest.approx(100 * 9.47 / 106.655)]
    assert "model_pct" in made.notes[0]
    without = volumes_over_age(replace(context, model_errors=pd.DataFrame()))
    assert "model_pct" not in without.tables[-1][1]
    assert not without.notes


@pytest.mark.parametrize("protocol", ["cine_lax", "t1_map", "t2_map", "flow_2d"])
@pytest.mark.parametrize("method", ["given", ""])
def test_a_model_that_no_method_takes_is_not_spoken_of(tmp_path, protocol, method):
    """segment.model beside labels that came with the images: nothing was segmented by it."""
    config = {**bundle(tmp_path / "b", [row("myo", 14.0)]), "protocol": protocol}
    config["segment"]["method"] = method
    assert model_of(get_protocol(protocol), Segment.of(config, or_defaults=True)) == ""
    assert model_section(tmp_path, config) is None
    assert model_errors(config).empty


def test_the_model_is_that_of_the_method():
    lax, sax = get_protocol("cine_lax"), get_protocol("cine_sax")
    assert model_of(lax, Segment(method="bundle")) == "cine_lax"
    assert model_of(lax, Segment(method="bundle", model="own")) == "own"
    assert model_of(sax, Segment()) == "cine_sax"
    assert model_of(sax, Segment(model="own")) == "own"
