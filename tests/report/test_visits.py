"""Subjects with several visits: what is counted is named as what it is."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from popscan.report import StudyContext
from popscan.report.front import Part, write_front_page
from popscan.report.neighbours import Others
from popscan.report.sections.attrition import section as attrition
from popscan.report.sections.biomarkers import section as biomarkers
from popscan.report.sections.cohort import section as cohort
from popscan.report.sections.common import Options
from popscan.report.sections.cost import section as cost
from popscan.report.sections.overview import section as glance
from popscan.report.sections.quality import segmentation
from popscan.report.sections.reconstruction import reconstruction
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


def texts_of(section) -> str:
    """Return captions, headings and notes of a section."""
    found = [section.title, section.lead]
    for block in section.blocks:
        for one in (block, *getattr(block, "blocks", ())):
            found += [getattr(one, key, "") for key in ("caption", "note", "text")]
            found += [column.title for column in getattr(one, "columns", ())]
            found += [f"{card.label} {card.note}" for card in getattr(one, "cards", ())]
            found += [cell.text for row in getattr(one, "rows", ()) for cell in row]
    return "\n".join(map(str, found))


def measured(visits: int) -> StudyContext:
    context = study(visits)
    units = context.ledger["unit"].tolist()
    n = len(units)
    stages = ("ingest", "reconstruct", "segment", "qc")
    ledger = pd.concat([context.ledger.assign(stage=s, seconds=2.0, peak_mb=9.0) for s in stages])
    ledger.loc[(ledger["unit"] == units[0]) & (ledger["stage"] == "qc"), "status"] = "failed"
    qc = pd.DataFrame({"unit": units, "verdict": ["review"] + ["pass"] * (n - 1)})
    numbers = {"lvedv_ml": [100.0 + k for k in range(n)], "odd_ml": [k % 7 / 2 for k in range(n)]}
    sizes = pd.DataFrame({"unit": units, **numbers})
    scores = pd.DataFrame(
        {"unit": units, "structure": "lv", "phase": "ED", "dice": [0.9 + k / 1e4 for k in range(n)],
         "hd95_mm": 2.0, "seen_in_training": False}
    )  # fmt: skip
    recon = pd.DataFrame({"unit": units, "variant": "sense", "nrmse": 0.1, "psnr_db": 30.0})
    return replace(
        context, stages=stages, ledger=ledger, qc=qc, biomarkers=sizes, scores=scores,
        recon_scores=recon,
        cost_rates=pd.DataFrame(
            {"stage": ["segment"], "core_hours_per_1000": 1.0, "gpu_hours_per_1000": 0.0,
             "startup_s": 2.0, "peak_mb": 9.0}
        ),
    )  # fmt: skip


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(
    "section", [attrition, biomarkers, cohort, cost, segmentation, reconstruction]
)
def test_what_counts_visits_does_not_say_subjects(section, share):
    """Sixty visits of twelve people stood under the heading 'subjects'."""
    options = Options(share=share, minimum=5)
    one, five = (texts_of(section(measured(k), options)) for k in (1, 5))
    before = r"number of|all|per|over|by|Points:|analysed|those|\d+"
    headed = re.compile(rf"(?i)\b(?:{before}) subjects?\b")
    named = [text for text in five.split("\n") if headed.search(text) or text == "Subjects"]
    assert [text for text in named if not re.search("visits of 1[02] ", text)] == []  # rounded
    assert "isit" in five
    assert "isit" not in one


def test_subjects_pages_count_visits():
    table = pd.DataFrame({"unit": [f"sub-{k}_ses-{v}" for k in range(4) for v in (1, 2)]})
    table["lvedv_ml"] = range(8)
    assert Others(table, table["unit"].tolist(), ["lvedv_ml"]).counted == "visits"
    assert Others(table[::2], table["unit"].tolist()[::2], ["lvedv_ml"]).counted == "subjects"


def test_the_front_page_counts_visits_in_every_table(tmp_path):
    units = [f"sub-{k}_ses-{v}" for k in range(3) for v in (1, 2)]
    subjects = pd.DataFrame({"unit": units, "n_analysed": 1, "sax_analysed": True})
    ledger = pd.DataFrame(
        {"unit": units, "protocol": "sax", "stage": "qc", "status": "failed", "reason": "qc_fail"}
    )
    part = Part(name="sax", title="Hearts", n_subjects=6, n_analysed=6)
    page = write_front_page(
        tmp_path / "index.html", name="x", parts=[part], ledger=ledger, subjects=subjects
    ).read_text(encoding="utf-8")
    assert "Every visit at every stage" in page
    assert re.findall(r"(?i)>\s*subjects\s*<", page) == []
    assert "of 3 subjects" in page
