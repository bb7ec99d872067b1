"""The report takes order, units, capitals and further sections from the protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from popscan.protocol import Outcome
from popscan.protocols import get_protocol
from popscan.protocols.brain_t1.report import volumes_over_age
from popscan.report.context import StudyContext
from popscan.report.figures.curve import volume_curve
from popscan.report.pages import Options, build_sections
from popscan.report.sections.biomarkers import measured
from popscan.report.sections.gaps import outcome_order
from popscan.report.text import title_of

BRAIN, HEART = get_protocol("brain_t1"), get_protocol("cine_sax")


@pytest.fixture(scope="module")
def context():
    """Thirty people whose ventricles grow with age and whose left hippocampus is larger."""
    rng = np.random.default_rng(1)
    units = [f"sub-{i:02d}" for i in range(30)]
    age = np.linspace(40, 80, 30)
    people = pd.DataFrame({"unit": units, "sex": ["female", "male"] * 15, "age_years": age})
    numbers = pd.DataFrame(
        {
            "unit": units, "amygdala_ml": rng.normal(2, 0.1, 30),
            "icv_ml": rng.normal(1500, 90, 30), "brain_ml": rng.normal(1200, 50, 30),
            "grey_ml": rng.normal(600, 30, 30),
            "ventricles_icv_adjusted_ml": 0.5 * age + rng.normal(0, 1, 30),
            "hippocampus_asymmetry_pct": 3 + rng.normal(0, 0.5, 30),
        }
    )  # fmt: skip
    return StudyContext(name="brains", protocol=BRAIN, participants=people, biomarkers=numbers)


def test_columns_begin_with_what_the_protocol_follows_in_its_order(context):
    first = ["brain_ml", "grey_ml", "ventricles_icv_adjusted_ml"]
    assert measured(context)[:3] == first
    turned = replace(BRAIN, outcomes=BRAIN.outcomes[::-1])
    assert measured(replace(context, protocol=turned))[:3] == first[::-1]


def test_gaps_are_in_the_protocols_order_behind_losses_and_quality():
    gaps = pd.DataFrame({"outcome": ["check_x", "other", "grey_ml", "brain_ml", "qc_fail"]})
    order = ["qc_fail", "brain_ml", "grey_ml", "other", "check_x"]
    assert outcome_order(gaps, BRAIN) == order


def test_capitals_are_those_of_the_protocols():
    assert title_of("brain_icv_pct") == "Brain ICV (%)"
    assert title_of("lvedv_ml") == "LVEDV (mL)"
    assert title_of("label_rate") == "Label rate"


def test_a_unit_that_the_name_lacks_comes_from_the_protocol(context):
    dose = Outcome(name="amygdala_signal", words="signal", unit="a.u.")
    numbers = context.biomarkers.assign(amygdala_signal=np.arange(30.0))
    known = pd.DataFrame({"column": ["amygdala_signal"], "meaning": ["signal"]})
    named = replace(
        context, biomarkers=numbers, biomarker_dictionary=known,
        protocol=replace(BRAIN, outcomes=(dose,)),
    )  # fmt: skip
    text = str(build_sections(named, Options(), [])[6].blocks)
    assert "Amygdala signal (a.u.)" in text


def test_curves_have_the_protocols_names_and_colours():
    drawn = volume_curve({"lv": np.array([1.0, 2.0])}, None, structures=HEART.labels.structures)
    assert "LV cavity" in drawn
    assert HEART.labels.structures[2].on_white in drawn


def test_the_protocols_section_shows_age_and_asymmetry(context):
    made = volumes_over_age(context)
    slopes, asymmetry = (table for _, table in made.tables)
    assert set(slopes["sex"]) == {"female", "male"}
    np.testing.assert_allclose(slopes["ml_per_year"], 0.5, atol=0.05)
    assert asymmetry["mean_pct"].item() == pytest.approx(3, abs=0.4)
    names = [section.ident for section in build_sections(context, Options(), [])]
    assert names.index("brain") == names.index("atlas") + 1
    shared = [one.ident for one in build_sections(context, Options(share=True, minimum=5), [])]
    assert "brain" not in shared
    assert "brain" not in [one.ident for one in build_sections(StudyContext(), Options(), [])]
    assert volumes_over_age(replace(context, biomarkers=pd.DataFrame())) is None
