"""The cohort table: every problem at once, good rows kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from popscan.io import read_participants, subject_label
from popscan.records import PopscanError


def table(tmp_path: Path, text: str | bytes, name: str = "participants.tsv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path: Path, text: str | bytes, name: str = "participants.tsv", **options):
    return read_participants(table(tmp_path, text, name), **options)


def test_a_good_table(tmp_path):
    rows, problems = read(
        tmp_path,
        "participant_id\tSex\tage\theight_cm\tRace\n"
        "sub-01\tF\t61\t160.5\tasian\n"
        "02\tmale\tn/a\t\tn/a\n",
    )
    assert problems == []
    assert list(rows.columns) == ["participant_id", "sex", "age_years", "height_cm", "race"]
    assert rows.to_dict("records") == [
        {"participant_id": "sub-01", "sex": "female", "age_years": "61", "height_cm": "160.5",
         "race": "asian"},
        {"participant_id": "sub-02", "sex": "male", "age_years": "", "height_cm": "", "race": ""},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "sex"),
    [
        ("F", "female"), ("female", "female"), ("0", "female"), ("0.0", "female"), ("W", "female"),
        ("M", "male"), ("MALE", "male"), ("1", "male"), ("n/a", "unknown"), ("", "unknown"),
        ("NaN", "unknown"), ("unknown", "unknown"),
    ],
)  # fmt: skip
def test_sex_codes(tmp_path, code, sex):
    rows, problems = read(tmp_path, f"participant_id\tsex\na\t{code}\n")
    assert problems == []
    assert rows["sex"].tolist() == [sex]


@pytest.mark.parametrize("word", ["Male", "f", "W"])
@pytest.mark.parametrize("digit", ["0", "1", "1.0"])
def test_digits_beside_words_say_no_sex(tmp_path, word, digit):
    """Two tables were joined: whether 1 is male in the second, nobody knows."""
    text = f"participant_id\tsex\na\t{word}\nb\t{digit}\n"
    rows, problems = read(tmp_path, text)
    assert rows["sex"].tolist()[1] == "unknown"
    assert [(p.line, p.column) for p in problems] == [(3, "sex")]
    rows, problems = read(tmp_path, text, sex_codes={"0": "female", "1": "male"})
    assert rows["sex"].tolist()[1] == ("female" if digit == "0" else "male")
    assert problems == []


def test_own_sex_codes_go_before_the_usual_ones(tmp_path):
    text = "participant_id\tsex\na\t1\nb\t2\nc\tX\n"
    rows, problems = read(tmp_path, text, sex_codes={"1": "female", "2": "male", "x": "unknown"})
    assert problems == []
    assert rows["sex"].tolist() == ["female", "male", "unknown"]
    with pytest.raises(PopscanError, match="frau"):
        read(tmp_path, text, sex_codes={"1": "frau"})


def test_every_problem_is_told_at_once_and_good_rows_stay(tmp_path):
    text = (
        "participant_id\tsex\tage\tweight_kg\n"
        "a\tF\t50\t70\n"
        "a\tM\t51\t71\n"  # line 3: again
        "b\tQ\t52\t72\n"  # line 4: sex
        "../etc\tF\t53\t73\n"  # line 5: identifier
        "c\tF\told\t7000\n"  # line 6: two numbers
        "d\tF\n"  # line 7: cells
        "\tF\t1\t2\n"  # line 8: none
        "e\tM\t54\t74\n"
    )
    rows, problems = read(tmp_path, text)
    assert rows["participant_id"].tolist() == ["sub-a", "sub-b", "sub-c", "sub-e"]
    assert rows["sex"].tolist() == ["female", "unknown", "female", "male"]
    assert rows["age_years"].tolist() == ["50", "52", "", "54"]
    assert [(p.line, p.column) for p in problems] == [
        (3, "participant_id"), (4, "sex"), (5, "participant_id"), (6, "age_years"),
        (6, "weight_kg"), (7, ""), (8, "participant_id"),
    ]  # fmt: skip
    for problem in problems:
        assert str(tmp_path) in str(problem)
        assert f"line {problem.line}" in str(problem)
        assert problem.found
        assert problem.expected
    assert "first on line 2" in str(problems[0])
    assert problems[0].subject == "sub-a"
    assert "'Q'" in str(problems[1])


def test_duplicates_differ_by_session(tmp_path):
    rows, problems = read(tmp_path, "participant_id\tsession_id\na\t1\na\tses-2\nsub-a\tses-1\n")
    assert rows["session_id"].tolist() == ["ses-1", "ses-2"]
    assert [p.line for p in problems] == [4]


@pytest.mark.parametrize("bad", ["../x", "a/b", '"a\nb"', '"a\r\nb"', "a b", "..", "-a", "a" * 65])
def test_unsafe_identifiers_are_told_escaped(tmp_path, bad):
    rows, problems = read(tmp_path, f"participant_id\tsex\n{bad}\tF\nok\tM\n")
    assert rows["participant_id"].tolist() == ["sub-ok"]
    assert [p.column for p in problems] == ["participant_id"]
    assert problems[0].line == 2
    assert "\n" not in str(problems[0])
    assert "\r" not in str(problems[0])


def test_line_numbers_count_physical_lines(tmp_path):
    _, problems = read(tmp_path, 'participant_id\tnote\na\t"one\ntwo"\n\nb\tx\na\ty\n')
    assert [(p.line, p.column) for p in problems] == [(2, "note"), (6, "participant_id")]


@pytest.mark.parametrize("bad", ['"left early', '"left" early', 'M\t"left early'])
def test_a_stray_quote_does_not_swallow_the_next_subjects(tmp_path, bad):
    rows, problems = read(
        tmp_path,
        f"participant_id\tsex\tnote\nsub-01\tF\tx\nsub-02\tM\t{bad}\nsub-03\tF\t\nsub-04\tM\t\n",
    )
    assert rows.empty
    assert len(problems) == 1
    assert "line 3" in str(problems[0])


def test_rows_between_two_stray_quotes_are_told(tmp_path):
    rows, problems = read(
        tmp_path,
        'participant_id\tnote\tage\nsub-01\t5" disc\t50\nsub-02\t"left\t51\nsub-03\tback"\t52\n'
        'sub-04\t"one\ntwo"\t53\n',
    )
    # The age in the row of sub-02 is that of sub-03; the note of sub-04 is only long.
    assert rows["participant_id"].tolist() == ["sub-01", "sub-04"]
    assert rows["age_years"].tolist() == ["50", "53"]
    assert [(p.line, p.column, p.subject) for p in problems] == [
        (3, "note", "sub-02"),
        (5, "note", "sub-04"),
    ]


def test_missing_columns_are_all_named(tmp_path):
    rows, problems = read(tmp_path, "subject\tsex\na\tF\n", required=["sex", "age_years"])
    assert rows.empty
    assert "participant_id" in rows.columns
    assert [p.column for p in problems] == ["participant_id", "age_years"]
    assert "'subject'" in str(problems[0])


def test_a_column_twice(tmp_path):
    _, problems = read(tmp_path, "participant_id\tsex\tSex\na\tF\tM\n")
    assert [p.column for p in problems] == ["sex"]


def test_wrong_delimiter_is_told_and_read_anyway(tmp_path):
    rows, problems = read(tmp_path, "participant_id,sex\na,F\n")
    assert rows["sex"].tolist() == ["female"]
    assert "commas" in problems[0].found
    assert "tabs" in problems[0].expected
    rows, problems = read(tmp_path, "participant_id,sex\na,F\n", name="c.csv")
    assert problems == []
    rows, problems = read(tmp_path, "participant_id;sex\na;F\n", name="c.csv")
    assert problems == []
    assert rows["sex"].tolist() == ["female"]


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    rows, problems = read(tmp_path, "\ufeffparticipant_id\tsex\r\na\tF\r\n".encode())
    assert problems == []
    assert rows["participant_id"].tolist() == ["sub-a"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n\n",
        b"\xff\xfep\x00a\x00",
        b"participant_id\tname\na\tM\xfcller\n",
        b"participant_id\na\0b\n",
        b"participant_id\tsex\n",
        b'participant_id\tsex\n"a\tF\n' + b"x" * 200000,
    ],
)
def test_tables_that_cannot_be_read_are_problems(tmp_path, data):
    rows, problems = read(tmp_path, data)
    assert rows.empty
    assert len(problems) >= 1
    assert "participant_id" in rows.columns


def test_no_such_file(tmp_path):
    rows, problems = read_participants(tmp_path / "gone.tsv")
    assert rows.empty
    assert "no such file" in str(problems[0])


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_bytes_give_rows_or_problems(tmp_path, data):
    rows, problems = read(tmp_path, b"participant_id\tsex\n" + data)
    for label in rows["participant_id"]:
        assert subject_label(label) == label
    assert rows["participant_id"].is_unique
    for problem in problems:
        assert "\n" not in str(problem)


@pytest.mark.data
def test_real_tables(data_dir):
    rows, problems = read_participants(data_dir / "sunnybrook" / "participants.tsv")
    assert problems == []
    assert rows["sex"].tolist() == ["male"] * 3
    rows, problems = read_participants(data_dir / "tables" / "ixi_brain_volumes.tsv")
    assert len(rows) + sum(p.column in ("", "participant_id") for p in problems) == 291
    assert set(rows["sex"]) == {"female", "male"}
