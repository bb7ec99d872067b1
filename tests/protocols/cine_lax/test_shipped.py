"""The shipped bundle of long-axis planes."""

from __future__ import annotations

import pytest

from popscan.config import Config
from popscan.installation import shipped_models
from popscan.protocols.cine_lax.labels import LABELS
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.segmentation import segment
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.segment.bundle import load_bundle

ROW = sample_population(1, seed=77).iloc[0].to_dict()


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(shipped_models() / "cine_lax", "cpu")


@pytest.fixture(scope="module")
def made():
    return simulate_subject(ROW, seed=77, matrix=(144, 144), spacing_mm=(2.0, 2.0), frames=4)


@pytest.fixture(scope="module")
def found(bundle, made):
    return segment(made.scan, bundle=bundle)


def test_the_bundle_goes_with_the_method():
    config = Config.model_validate({"protocol": "cine_lax", "segment": {"method": "bundle"}})
    assert config.segment.model == "cine_lax"


def test_the_shipped_bundle_finds_a_digital_heart_that_it_never_saw(made, found):
    for plane in planes_of(made.scan.meta, made.scan.array.shape):
        for name, code in LABELS.codes.items():
            if plane.view == "2ch" and name in ("rv", "ra"):
                continue
            one, two = (a[:, :, plane.index] == code for a in (found.labels, made.labels.array))
            dice = 2 * (one & two).sum() / (one.sum() + two.sum())
            assert dice > (0.6 if name == "myo" else 0.75), (plane.view, name)


def test_the_shipped_bundle_is_small_and_was_validated_on_nobody_it_was_trained_on(bundle):
    folder = shipped_models() / "cine_lax"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2.2e6
    validation = bundle.about["validation"]
    assert validation["simulated_only"] is True
    assert not set(validation["sha256"]) & set(bundle.about["trained_on"]["sha256"])
    short = load_bundle(shipped_models() / "cine_sax", "cpu")
    assert sorted(validation["subjects"]) == sorted(short.about["validation"]["subjects"])
