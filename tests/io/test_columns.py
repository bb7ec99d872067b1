"""Columns of cohort tables as people and spreadsheets write them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from popscan.io import read_cohort
from popscan.io.cell_numbers import format_of, is_plain, parsed
from popscan.io.columns import read_column

BLANK = "\u00a0"
THIN = "\u202f"


def read(tmp_path: Path, text: str, name: str = "participants.tsv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_cohort(path, **options)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["0,9012", "0,88"], ["0.9012", "0.88"]),
        (["-1,5", "+2,25e-3"], ["-1.5", "+2.25e-3"]),
        (["1.234,5", "2,5"], ["1234.5", "2.5"]),
        (["1,234.5", "2.5"], ["1234.5", "2.5"]),
        (["1,234,567", "1,234"], ["1234567", "1234"]),
        (["1.234.567", "1.234"], ["1234567", "1234"]),
        (["0,91", "0.85", "0.9"], ["0.91", "0.85", "0.9"]),
        (["1 234", f"12{BLANK}345", f"1{THIN}000,5", "1'000"], ["1234", "12345", "1000.5", "1000"]),
        (["95 %", "90%"], ["95", "90"]),
        (["12.5 mm", "3 mm"], ["12.5", "3"]),
        (["\u22125", "3"], ["-5", "3"]),
        (["1e3", ".5", "5."], ["1e3", ".5", "5."]),
    ],
)
def test_a_number_that_can_mean_one_thing_is_read(cells, numbers):
    column = read_column("x", cells)
    assert column.values == numbers
    assert not column.refused
    assert bool(column.notes) == (cells != numbers)


@pytest.mark.parametrize(
    ("name", "cells", "left_out"),
    [
        ("x", ["1,234", "2,345"], ["1,234", "2,345"]),  # thousands, or decimals?
        ("x", ["95 %", "0.9"], ["95 %"]),
        ("x_mm", ["12 mm", "3 in", "4 cm"], ["3 in"]),
        ("x", ["5 mm", "1 cm"], ["5 mm", "1 cm"]),  # no name says in which unit
        ("age_x", ["<40", ">90", "90+", "55"], ["<40", ">90", "90+"]),
        ("x", ["inf", "-inf", "Infinity", "1e999", "2"], ["inf", "-inf", "Infinity", "1e999"]),
        ("x", ["1_000", "0x1F", "3"], ["1_000", "0x1F"]),
        ("x", ["1950-03-02", "02.03.1950", "3"], ["1950-03-02", "02.03.1950"]),
    ],
)
def test_what_is_no_number_is_left_out_and_kept_for_the_message(name, cells, left_out):
    column = read_column(name, cells, numeric=True)
    assert list(column.refused.values()) == left_out
    assert all(
        (value == "") == (cell in left_out)
        for cell, value in zip(cells, column.values, strict=True)
    )


@pytest.mark.parametrize(
    "cells",
    [
        ["1a", "2b", "3c"] * 8,
        ["007", "012", "113"],
        ["0", "1", "2", "3 or more"],
        ["<40", "40-65", ">65"],
        ["Siemens 1.5T", "GE 3T"],
        ["2021-03-02", "02.03.1950"],
        ["True", "False"],
        ["yes", "no"],
    ],
)
def test_groups_stay_what_they_are(cells):
    assert read_column("x", cells).values == cells


def test_metres_in_a_column_of_centimetres():
    assert read_column("height_cm", ["1.72 m", "170 cm", "169"]).values == ["172.0", "170", "169"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(["yes", "No", "Y", "n/a"], ["1", "0", "1", ""]), (["TRUE", "false", "1"], ["1", "0", "1"])],
)
def test_yes_and_no_are_numbers_where_numbers_are_wanted(cells, expected):
    column = read_column("died", cells, numeric=True)
    assert column.values == expected
    assert "1 (yes)" in column.notes[-1]


def test_spelling_is_folded_with_a_note():
    column = read_column("race", ["White", "WHITE", "white", "White", "Black", "White  British"])
    assert column.values == ["White"] * 4 + ["Black", "White  British"]
    assert column.notes == ["'WHITE' (1), 'white' (1) read as 'White'"]
    assert read_column("note", [f"Text {i}" for i in range(60)] + ["text 1"]).notes == []


def test_none_is_a_group_among_words_and_missing_among_numbers():
    words = read_column("disease", ["none", "HCM", "none"])
    assert words.values == ["none", "HCM", "none"]
    assert "cohort.missing_values" in words.notes[0]
    assert read_column("x", ["none", "NA", "1", "2"]).values == ["", "", "1", "2"]
    assert read_column("disease", ["none", "HCM"], missing_values=["None"]).values == ["", "HCM"]


def test_codes_among_words_are_no_groups():
    cells = ["never"] * 5 + ["ever"] * 5 + ["-9", "-9.0", "999", "999"]
    column = read_column("smoking", cells)
    assert column.values[10:] == ["", "", "999", "999"]
    assert column.notes == [
        "'-9' (1), '-9.0' (1) among words count as not recorded; an answer has to be written as a "
        "word",
        "'999' (2 rows) is read as a group; if it means 'not recorded', add it to "
        "cohort.missing_values",
    ]


def test_numbers_among_words_that_may_be_answers_stay_and_are_named():
    column = read_column("ethnicity", ["white"] * 5 + ["asian"] * 5 + ["-7", "-20"])
    assert column.values[10:] == ["-7", "-20"]
    assert [note.split(" is read")[0] for note in column.notes] == ["'-20' (1 row)", "'-7' (1 row)"]


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["1", "2", "-1", "-1"], {"categorical": True}),
        (["01", "02", "-9"], {}),
        (["A", "B", "7"], {}),
    ],
)
def test_numbers_of_groups_stay_groups(cells, options):
    column = read_column("arm", cells, **options)
    assert (column.values, column.notes) == (cells, [])


@pytest.mark.parametrize("word", ["n.a.", "TBD", "no data", "not stated"])
def test_further_words_for_missing(word):
    assert read_column("smoking", ["never", "ever", word]).values == ["never", "ever", ""]


@pytest.mark.parametrize("cell", ["#N/A", "#DIV/0!", ".", "?", "Prefer not to answer", "NULL"])
def test_what_is_counted_as_missing_is_named(cell):
    column = read_column("race", [cell, "White", cell])
    assert column.values == ["", "White", ""]
    assert column.notes == [f"{cell!r} (2) count as not recorded"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_numbers_of_a_computer_are_left_as_they_are(values):
    cells = [repr(value) for value in values]
    column = read_column("x", cells)
    assert column.values == cells
    assert column.notes == []


@given(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=20))
def test_a_decimal_comma_is_a_decimal_point(values):
    cells = [f"{value:.4f}" for value in values]
    assert read_column("x", [cell.replace(".", ",") for cell in cells]).values == cells


@given(st.lists(st.text(alphabet="0123456789.,eE+-% kgmT'<>", max_size=9), max_size=12))
def test_any_text_is_a_number_a_group_or_left_out(cells):
    cells = [cell.strip() for cell in cells]
    column = read_column("x_kg", cells, numeric=True)
    for row, value in enumerate(column.values):
        assert value == "" or math.isfinite(float(value))
        assert (row in column.refused) == (value == "" and cells[row] not in ("", ".", "-", "--"))
    style = format_of("x_kg", cells)
    for cell in cells:
        number = parsed(cell, style)
        assert number is None or is_plain(number)


def test_one_problem_per_column_names_and_counts_what_is_left_out(tmp_path):
    rows = "".join(f"p{i}\t{i}\n" for i in range(20))
    found = read(tmp_path, f"participant_id\tdose\n{rows}q\t<40\nr\t>90\ns\t<40\n")
    assert found.rows["dose"].tolist()[-4:] == ["19", "", "", ""]
    assert len(found.problems) == 1
    assert found.problems[0].count == 3
    assert "line 22, column dose: found '<40' (2), '>90' (1) among 23 cells" in str(
        found.problems[0]
    )


def test_missing_words_of_r_are_missing_in_all_columns(tmp_path):
    table = "participant_id\trace\tscore\na\tNA\t1\nb\tWhite\tNA\nc\tNA\t3\n"
    found = read(tmp_path, table)
    assert found.rows["race"].tolist() == ["", "White", ""]
    assert any(note.startswith("race: 'NA' (2) count as not recorded") for note in found.notes)
    found = read(tmp_path, table.replace("b\tWhite\tNA", "b\tWhite\t2"))
    assert found.rows["race"].tolist() == ["NA", "White", "NA"]


def test_ages_in_bands_are_bands(tmp_path):
    found = read(tmp_path, "participant_id\tAge\na\t40-44\nb\t45-49\nc\t90+\nd\tn/a\n")
    assert found.rows["age_band"].tolist() == ["40-44", "45-49", "90+", ""]
    assert "no age in years" in found.notes[0]
    assert found.problems == []


def test_sex_coded_as_one_and_two_is_a_question(tmp_path):
    text = "participant_id\tsex\na\t1\nb\t2\nc\tF\n"
    found = read(tmp_path, text)
    assert found.rows["sex"].tolist() == ["unknown", "unknown", "female"]
    assert [(p.line, p.column) for p in found.problems] == [(2, "sex"), (3, "sex")]
    assert "cohort.sex_codes" in str(found.problems[0])
    found = read(tmp_path, text, sex_codes={"1": "male", "2": "female"})
    assert found.rows["sex"].tolist() == ["male", "female", "female"]


@pytest.mark.parametrize("code", ["NA", "none", "#N/A", "Prefer not to answer", "?"])
def test_sex_that_was_not_recorded(tmp_path, code):
    found = read(tmp_path, f"participant_id\tsex\na\t{code}\nb\tF \n")
    assert found.rows["sex"].tolist() == ["unknown", "female"]
    assert found.problems == []


def test_identifiers_of_spreadsheets(tmp_path):
    found = read(
        tmp_path,
        "participant_id\tsession_id\n1000012.0\t2.0\n1.00E+06\t2\n1000013\tNA\n0007\t\n",
    )
    assert found.rows["participant_id"].tolist() == ["sub-1000012", "sub-1000013", "sub-0007"]
    assert found.rows["session_id"].tolist() == ["ses-2", "", ""]
    assert len(found.problems) == 1
    assert "'1.00E+06', a number that a spreadsheet rounded" in str(found.problems[0])


def test_columns_with_names_of_popscan_and_without_any(tmp_path):
    found = read(tmp_path, "\tparticipant_id\tsub\tUnit\tses\tAnalysed\n0\ta\t1\tx\t2\tyes\n")
    assert list(found.rows) == [
        "column_1", "participant_id", "sub_in_table", "unit_in_table", "ses_in_table",
        "analysed_in_table",
    ]  # fmt: skip
    assert len(found.notes) == 5
    found = read(tmp_path, "participant_id\tage\tAge_years\na\t1\t2\n")
    assert found.rows.iloc[0].tolist() == ["sub-a", "1", "2"]


def test_a_spreadsheet_of_half_of_europe(tmp_path):
    text = '\ufeffparticipant_id;"Alter";Gewicht_kg;age;weight\r\n"a";1;"72,5";"61,5";72,5 kg \r\n'
    found = read(tmp_path, text, name="t.csv")
    assert found.problems == []
    assert found.rows.iloc[0].tolist() == ["sub-a", "1", "72.5", "61.5", "72.5"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # Commas separate columns, so they are no decimal marks.
        ("t.csv", 'participant_id,x\na,"1,234"\nb,"2,345"\n', ["1234", "2345"]),
        # Semicolons do, as where the comma is the decimal mark; a point may still be one.
        ("t.csv", "participant_id;x\na;1,234\nb;2,345\n", ["1.234", "2.345"]),
        ("t.csv", "participant_id;x\na;1.234\nb;2.345\n", ["1.234", "2.345"]),
        # Another column says what commas and points are.
        ("t.tsv", "participant_id\tx\ty\na\t1,234\t0.5\nb\t2,345\t1\n", ["1234", "2345"]),
        ("t.tsv", "participant_id\tx\ty\na\t1.234\t0,5\nb\t987\t1\n", ["1234", "987"]),
        ("t.tsv", "participant_id\tx\ty\na\t1.234\t0.5\nb\t987\t1\n", ["1.234", "987"]),
        # Nothing does.
        ("t.tsv", "participant_id\tx\na\t1,234\nb\t2,345\n", ["", ""]),
        ("t.tsv", "participant_id\tx\na\t1.234\nb\t2.345\n", ["1.234", "2.345"]),
    ],
)
def test_the_table_says_what_a_column_does_not(tmp_path, name, text, expected):
    found = read(tmp_path, text, name=name, numeric=["x"])
    assert found.rows["x"].tolist() == expected
    assert bool(found.problems) == (expected == ["", ""])
