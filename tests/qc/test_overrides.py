"""People's verdicts over automatic ones."""

from __future__ import annotations

import pandas as pd
import pytest

from popscan import qc
from popscan.records import PopscanError
from popscan.study import dictionary

VERDICTS = pd.DataFrame(
    {
        "unit": ["sub-1", "sub-2", "sub-3_ses-1"],
        "verdict": ["pass", "fail", "review"],
        "n": [1, 2, 3],
    }
)
TSV = """participant_id\tsession_id\tverdict\treason\tname\tdate
sub-2\t\tpass\tghost lies outside the heart\tA. Reader\t2024-05-01
sub-3\tses-1\tFail \twrong view\tB. Reader\t
"""


def test_both_verdicts_are_kept() -> None:
    final = qc.apply_overrides(VERDICTS, qc.parse_overrides(TSV))
    assert final["verdict_auto"].tolist() == ["pass", "fail", "review"]
    assert final["verdict"].tolist() == ["pass", "pass", "fail"]
    assert final["override_by"].tolist() == ["", "A. Reader", "B. Reader"]
    assert final["override_reason"].tolist() == ["", "ghost lies outside the heart", "wrong view"]
    assert final["override_date"].tolist() == ["", "2024-05-01", ""]
    assert final["n"].tolist() == [1, 2, 3]
    assert set(final.columns) - set(VERDICTS.columns) <= {*dictionary.of("qc"), "override_date"}
    assert VERDICTS["verdict"].tolist() == ["pass", "fail", "review"]  # input untouched


def test_applying_twice_is_applying_once_and_none_takes_back() -> None:
    overrides = qc.parse_overrides(TSV)
    once = qc.apply_overrides(VERDICTS, overrides)
    pd.testing.assert_frame_equal(qc.apply_overrides(once, overrides), once)
    back = qc.apply_overrides(once, qc.parse_overrides(""))
    assert back["verdict"].tolist() == VERDICTS["verdict"].tolist()
    assert (back["override_by"] == "").all()


def test_every_problem_is_listed_at_once() -> None:
    overrides = pd.DataFrame(
        [
            ("sub-9", "pass", "why", "me"),
            ("sub-1", "good", "why", "me"),
            ("sub-2", "fail", "", "me"),
            ("sub-2", "pass", "why", " "),
        ],
        columns=["unit", "verdict", "reason", "name"],
    )
    problems = qc.override_problems(overrides, VERDICTS["unit"])
    assert problems == [
        "line 2: there is no subject 'sub-9' in the study",
        "line 3: unknown verdict 'good', expected one of pass, review, fail",
        "line 4: reason is empty",
        "line 5: sub-2 was already overridden in line 4",
        "line 5: name is empty",
    ]
    with pytest.raises(PopscanError, match=r"(?s)sub-9.*good.*reason is empty.*name is empty"):
        qc.apply_overrides(VERDICTS, overrides)


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("unit\tverdict\treason", "'name' is missing"),
        ("verdict\treason\tname", "'participant_id' or 'unit'"),
        ("unit\tverdict\treason\tname\tgrade", "unknown column 'grade'"),
    ],
)
def test_columns_are_checked(header: str, word: str) -> None:
    problems = qc.override_problems(qc.parse_overrides(header + "\n"), [])
    assert any(word in problem for problem in problems)


def test_not_a_table() -> None:
    with pytest.raises(PopscanError, match="tab-separated"):
        qc.parse_overrides("unit\tverdict\treason\tname\na\tb\tc\td\te\tf\n")


def test_words_that_look_like_missing_values_stay_words() -> None:
    table = qc.parse_overrides("unit\tverdict\treason\tname\nsub-1\tpass\tNA\tnull\n")
    final = qc.apply_overrides(VERDICTS, table)
    assert final.loc[0, ["override_reason", "override_by"]].tolist() == ["NA", "null"]
