"""Subjects with several visits: what is counted is named as what it is."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from popscan.report import StudyContext
from popscan.report.sections.cohort import section as cohort
from popscan.report.sections.common import Options
from popscan.report.sections.overview import section as glance
from popscan.stages.report.job import _description
from popscan.stages.report.methods import _subjects


def study(visits: int) -> StudyContext:
    units = [f"sub-{k:02d}_ses-{v}" for k in range(12) for v in range(visits)]
    ledger = pd.DataFrame({"unit": units, "stage": "qc", "status": "ok"})
    people = pd.DataFrame({"unit": units, "sex": ["female", "male"] * (len(units) // 2)})
    return StudyContext(participants=people, ledger=ledger)


def test_five_visits_of_twelve_subjects_are_not_sixty_subjects():
    blocks = glance(study(5), Options()).blocks
    assert blocks[0].text.startswith("Of 60 visits of 12 subjects, 60")
    card = blocks[1].cards[0]
    assert (card.value, card.label, card.note) == ("60", "visits", "of 12 subjects")
    assert blocks[2].text.startswith("Subjects have several visits.")
    section = cohort(study(5), Options())
    assert section.lead.startswith("60 visits of 12 subjects in the cohort table")
    assert section.blocks[0].rows[0][0].text == "Visits"


def test_subjects_with_one_visit_are_subjects():
    blocks = glance(study(1), Options()).blocks
    assert blocks[0].text.startswith("Of 12 subjects, 12")
    assert (blocks[1].cards[0].label, blocks[1].cards[0].note) == ("subjects", "")
    section = cohort(study(1), Options())
    assert section.lead.startswith("12 subjects in the cohort table")
    assert section.blocks[0].rows[0][0].text == "Subjects"


def test_the_study_is_described_by_its_subjects():
    words = type("Words", (), {"acquisition": "Cine", "simulated": "simulated"})
    units = ["sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1"]
    assert _description(words, "dicom", units) == "Cine of 2 subjects at 3 visits, read from DICOM."
    assert _description(words, "dicom", units[1:]) == "Cine of 2 subjects, read from DICOM."
    assert (
        _description(words, "dicom", units[:2]) == "Cine of 1 subject at 2 visits, read from DICOM."
    )


def test_a_single_subject_is_one():
    one = study(1)
    lost = one.ledger["unit"] != one.ledger["unit"].iloc[0]
    alone = replace(one, ledger=one.ledger.assign(status=lost.map({True: "failed", False: "ok"})))
    assert next(_subjects(alone)).startswith("Of 12 subjects, 1 was analysed (11 failed at ")
    assert "1 (8%) was analysed." in glance(alone, Options()).blocks[0].text


def test_the_methods_paragraph_names_visits_as_visits():
    assert next(_subjects(study(5))) == "Of 60 visits of 12 subjects, 60 were analysed."
    assert next(_subjects(study(1))) == "Of 12 subjects, 12 were analysed."
