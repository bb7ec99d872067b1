"""A shared report points to nobody."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest

from popscan.report import StudyContext, render_study
from popscan.report.columns import SharedColumns
from popscan.report.sections import cohort, quality, reconstruction
from popscan.report.sections.common import Options, count_cells, frame_table
from popscan.report.share import identifiers, scrubber, shareable
from popscan.report.text import DASH


def test_shared_counts_cannot_be_subtracted():
    options = Options(share=True, minimum=5)
    assert [options.count(n) for n in (0, 1, 4, 5, 7, 8, 1002)] == [
        "0", "< 5", "< 5", "5", "5", "10", "1,000",
    ]  # fmt: skip
    assert options.percent(3, 100) == ""
    assert options.percent(98, 100) == ""
    assert options.percent(51, 99) == "50%"
    # Whatever small n a group has, the shown total and the other group look the same.
    assert len({(options.count(100 + n), options.count(100)) for n in range(1, 3)}) == 1
    assert Options().count(3) == "3"


def test_scrub_removes_identifiers_paths_and_small_counts():
    text = "sub-0007 and P12. at /data/secret/x.nii, n = 3, n = 31, mean 0007"
    clean = scrubber({"sub-0007", "P12", "0007"})(text)
    assert "0007" not in clean
    assert "P12" not in clean
    assert "/data" not in clean
    assert "n < 5" in clean
    assert "n ≈ 30" in clean


@pytest.fixture(scope="module")
def shared(make_context, tmp_path_factory):
    context = make_context(60)
    context = replace(
        context,
        sentences=["sub-0007_ses-01 differs (n = 2).", "RV Dice is lower."],
        limits=["Problem with /data/raw/sub-0003."],
    )
    folder = tmp_path_factory.mktemp("share")
    return context, render_study(context, folder, share=True).read_text(encoding="utf-8"), folder


def test_no_identifier_no_message_no_picture(shared):
    context, html, folder = shared
    assert not (folder / "subjects").exists()
    text = re.sub(r"<[^>]+>", " ", html)
    words = set(re.findall(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text))
    assert not identifiers(context) & words
    assert "sub-" not in html
    assert "/home/someone" not in html
    assert "/data/raw" not in html
    assert "expected" not in html.split("</style>")[1].split("Problems and limits")[0]
    assert 'class="tile"' not in html
    assert "study: west" not in html


def test_no_small_cell_in_the_status_table(shared, read_tables):
    _, html, _ = shared
    tables = read_tables(html, "every row adds up")
    cells = tables[0].iloc[:, 1:].astype(str)
    numeric = cells.apply(pd.to_numeric, errors="coerce")
    assert (numeric.isna() | (numeric % 5 == 0)).all(axis=None)
    assert (cells == "< 5").any(axis=None)


def test_what_is_hidden_is_not_in_what_cells_sort_by():
    options = Options(share=True, minimum=5)
    cells = count_cells([0, 1, 4, 8, 101], options)
    assert [cell.sort for cell in cells] == [0, 0, 0, 10, 100]
    units = [f"sub-{i}" for i in range(9)]
    scores = pd.DataFrame(
        {"unit": units, "structure": "lv", "phase": ["ED"] * 6 + ["ES"] * 3, "frame": 0,
         "dice": 0.123456789, "hd95_mm": 7.654321}
    )  # fmt: skip
    recon = pd.DataFrame(
        {"unit": units, "variant": ["a"] * 6 + ["b"] * 3, "nrmse": 0.123456789,
         "psnr_db": [30.0] * 6 + [17.654321] * 3, "ssim": 0.9}
    )  # fmt: skip
    context = StudyContext(scores=scores, recon_scores=recon)
    for section in (reconstruction.reconstruction, quality.segmentation):
        for block in section(context, options).blocks:
            for row in getattr(block, "rows", ()):
                assert all(cell.sort is None for cell in row if cell.text == DASH)
                assert not any("4321" in str(c.sort) or "6789" in str(c.sort) for c in row)
    summed = frame_table(pd.DataFrame({"auc": [0.123456789]}), caption="")
    assert "6789" not in str(summed.rows)


def test_hd95_tells_of_how_many_subjects_it_is():
    scores = pd.DataFrame(
        {"unit": [f"sub-{i}" for i in range(9)], "structure": "lv", "phase": "ES", "frame": 9,
         "dice": [0.9] * 7 + [0.0] * 2, "hd95_mm": [4.0] * 7 + [None] * 2}
    )  # fmt: skip
    section = quality.segmentation(StudyContext(scores=scores), Options())
    (table,) = (block for block in section.blocks if hasattr(block, "rows"))
    row = dict(zip((c.title for c in table.columns), (c.text for c in table.rows[0]), strict=True))
    assert (row["Subjects"], row["Subjects with HD95"], row["HD95 mean (mm)"]) == (
        "9",
        "7",
        "4.0 (2 failed)",
    )


def test_few_events_are_a_small_cell():
    groups = pd.DataFrame(
        {"attribute": "sex", "group": ["f", "m"], "outcome": "qc_fail", "kind": "binary",
         "n": [500, 400], "mean": [0.004, 0.1], "sd": [0.06, 0.3], "too_few": False}
    )  # fmt: skip
    gaps = pd.DataFrame(
        {"attribute": "sex", "outcome": "qc_fail", "group": ["m"], "reference": ["f"], "gap": 0.096}
    )
    shared = shareable(StudyContext(fairness_groups=groups, fairness_gaps=gaps), minimum=5)
    assert shared.fairness_groups["mean"].isna().tolist() == [True, False]
    assert not len(shared.fairness_gaps)


def test_small_groups_have_no_statistics(shared, read_tables):
    _, html, _ = shared
    for table in read_tables(html, "Outcomes by race"):
        small = table[table.iloc[:, 0] == "Chinese"]
        assert len(small)
        assert (small["Mean"] == "too few").all()
        assert (small["n"] == "hidden").all()


def test_groups_by_sex_of_the_audit_are_not_repeated_in_table_one(make_context):
    """Two roundings of one crossing would give away more than either."""
    context = make_context(60, flagged=0)
    race = context.participants["race"].astype(str)
    assert race.nunique() > 1
    crossed = context.fairness_groups.head(1).assign(attribute="sex x race")
    context = replace(context, fairness_groups=crossed)
    for share in (False, True):
        table = next(
            block
            for block in cohort.section(context, Options(share=share)).blocks
            if hasattr(block, "rows")
        )
        by_sex = [
            cell.text
            for row in table.rows
            if row[0].text.strip() in set(race)
            for cell in row[1:-1]
        ]
        assert by_sex
        assert all(text == "hidden" for text in by_sex) == share


def _with_terms(people, terms):
    found = pd.DataFrame({"outcome": "lvef_pct", "term": terms, "estimate": 1.0, "n": 60})
    return StudyContext(participants=people, associations=found)


def test_levels_of_few_are_hidden_whatever_names_hold():
    """Blanks in a column's name, or " vs " in a level's, hid how few a level has."""
    dx = ["none"] * 40 + ["HIV vs AIDS"] * 2 + ["COPD"] * 18
    people = pd.DataFrame(
        {"unit": [f"sub-{k:02d}" for k in range(60)], "age_years": range(60),
         "lung disease": dx, "secret-code": ["a", "b"] * 30}
    )  # fmt: skip
    terms = ["age_years", "lung disease[HIV vs AIDS vs none]", "lung disease[COPD vs none]",
             "lung disease[other vs none]", "lung disease[gone vs none]", "secret-code[a vs b]",
             "nothing[a vs b]"]  # fmt: skip
    shown = shareable(
        _with_terms(people, terms), minimum=5,
        columns=SharedColumns(columns=("age_years", "lung disease")),
    ).associations["term"].tolist()  # fmt: skip
    assert shown == ["age_years", "lung disease[COPD vs none]", "lung disease[other vs none]"]


def test_visits_of_one_subject_are_one():
    people = pd.DataFrame(
        {"unit": [f"sub-{k:02d}" for k in range(54)] + [f"sub-99_ses-{k}" for k in range(6)],
         "race": ["White"] * 54 + ["Inuit"] * 6}
    )  # fmt: skip
    made = shareable(
        _with_terms(people, ["race[Inuit vs White]"]), minimum=5,
        columns=SharedColumns(columns=("race",)),
    )  # fmt: skip
    assert made.associations.empty
    assert "Inuit" not in set(made.participants["race"])


def test_averages_of_combinations_need_every_column_to_be_shared(make_context):
    context = make_context(40)
    picture = next(iter(context.atlas.values()))
    names = ("all", "sex=female", "site=north", "sex=female, site=north", "sex=male, race=Black")
    given = replace(context, atlas=dict.fromkeys(names, picture))
    shared = shareable(given, minimum=5, columns=SharedColumns(columns=("sex", "race")))
    assert list(shared.atlas) == ["all", "sex=female", "sex=male, race=Black"]
