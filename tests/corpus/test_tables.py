# ruff: noqa: E501
"""Tables that people write: cohort, exclusions, overrides; and what spreadsheets make of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from popscan.config import Config
from popscan.qc import apply_overrides
from popscan.study.listing import find_cohort
from popscan.study.overrides import read_overrides

HEAD = "participant_id\tsex\tage_years\trace\n"
ROWS = "sub-1\tF\t61\tWhite\nsub-2\tM\t55\tBlack\n"


@pytest.fixture
def raw(tmp_path) -> Path:
    for number in range(1, 4):
        folder = tmp_path / "raw" / f"sub-{number}"
        folder.mkdir(parents=True)
        (folder / "x_sax.nii.gz").write_bytes(b"x")
    return tmp_path / "raw"


def cohort(raw: Path, **options):
    source = {"kind": "bids", "root": str(raw), **options.pop("source", {})}
    config = Config.model_validate({"source": source, "cohort": options}).model_dump()
    return find_cohort(config)


def checked(end, raw: Path, data: bytes, *, name: str = "participants.tsv", **options):
    (raw / name).write_bytes(data)
    ended = end(cohort, raw, source={"participants": str(raw / name)}, **options)
    if not ended.refused:
        found = ended.value
        units = [one.subject.unit for one in found.planned]
        assert len(units) == len(set(units))
        for one in found.planned:
            assert all(
                isinstance(cell, str) and "\n" not in key for key, cell in one.subject.row.items()
            )
        assert all(len(problem) < 2000 for problem in found.problems)
        assert len(found.problems) < 5000
    return ended


TEXTS = [
    "", "\n", "\t\t\t\n", HEAD, HEAD.strip(), ROWS, HEAD + ROWS + ROWS, HEAD.replace("sex", "SEX") + ROWS,
    HEAD.replace("race", "sex") + ROWS, HEAD.replace("participant_id", "subject") + ROWS,
    HEAD.replace("race", "sub") + ROWS, HEAD.replace("race", "unit") + ROWS,
    HEAD.replace("race", "ses") + ROWS, HEAD.replace("race", "status") + ROWS,
    HEAD.replace("race", "") + ROWS, HEAD.replace("race", " ") + ROWS,
    HEAD.replace("race", "r" * 5000) + ROWS, HEAD.replace("race", "ra\u202ece") + ROWS,
    HEAD.replace("race", "=1+1") + ROWS, HEAD.replace("race", "../race") + ROWS,
    HEAD + "sub-1\n", HEAD + "sub-1\tF\t61\tWhite\tmore\n", HEAD + "\tF\t61\tWhite\n",
    HEAD + "../../etc\tF\t61\tWhite\n", HEAD + "sub-1/x\tF\t61\tWhite\n", HEAD + "sub-" + "1" * 500 + "\tF\t6\tW\n",
    HEAD + "sub-1\t" + "F" * 100_000 + "\t61\tWhite\n", HEAD + "sub-1\tF\t1e999\tWhite\n",
    HEAD + "sub-1\tF\tnan\tWhite\n", HEAD + "sub-1\tF\t-61\tWhite\n", HEAD + "sub-1\tF\t61,5\tWhite\n",
    HEAD + "sub-1\tF\t<40\tWhite\n", HEAD + "sub-1\tF\t" + "9" * 5000 + "\tWhite\n",
    HEAD + 'sub-1\t"F\t61\tWhite\n' + ROWS, HEAD + 'sub-1\t"F\n"\t61\tWhite\n', HEAD + "sub-1\tF\t61\t=cmd()\n",
    HEAD + "sub-1\tF\t61\tW\x00hite\n", HEAD + "sub-1\tF\t61\tW\x1bhite\n", HEAD + "sub-1\tF\t61\t<b>x</b>\n",
    HEAD.replace("\t", ",") + ROWS.replace("\t", ","), HEAD.replace("\t", ";") + ROWS.replace("\t", ";"),
    HEAD.replace("\t", "|") + ROWS.replace("\t", "|"), HEAD.replace("\t", "  ") + ROWS.replace("\t", "  "),
    (HEAD + ROWS).replace("\n", "\r\n"), (HEAD + ROWS).replace("\n", "\r"), (HEAD + ROWS).replace("\n", "\u2028"),
    "\ufeff" + HEAD + ROWS, "# comment\n" + HEAD + ROWS, "\n\n" + HEAD + ROWS, HEAD + "\n\n" + ROWS + "\n\n",
    HEAD + "".join(f"sub-x{i}\tQ\t999\tW\n" for i in range(3000)), HEAD * 3 + ROWS,
    "Unnamed: 0\t" + HEAD + "0\tsub-1\tF\t61\tWhite\n", HEAD.replace("race", "session_id") + "sub-1\tF\t6\t../x\n",
    "participant_id\n1000012\n1000012.0\n1e6\n", "participant_id\n0001\n1\n01\n", "participant_id\nsub-1\nSUB-1\n1\n",
    "participant_id\tage\tage_years\nsub-1\t6\t61\n",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["participants.tsv", "participants.csv"])
def test_cohort_table(raw, end, text, name):
    checked(end, raw, text.encode("utf-8", "surrogatepass"), name=name)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfep\0a\0", HEAD.encode("utf-16"), HEAD.encode() + b"sub-1\tF\t61\tW\xe9\n", b"PK\3\4" + bytes(99),
     b"\x1f\x8b\x08" + bytes(50), b"\0" * 1000, bytes(range(256)) * 20, b"\xd0\xcf\x11\xe0" + bytes(600)],
    ids=range(8),
)  # fmt: skip
def test_cohort_bytes(raw, end, data):
    ended = checked(end, raw, data)
    assert ended.refused or ended.value.problems


def test_quiet_cohort_is_taken_whole(raw, end):
    found = checked(end, raw, (HEAD + ROWS + "sub-3\tF\t70\tn/a\n").encode()).value
    assert [one.subject.row["age_years"] for one in found.planned] == ["61", "55", "70"]
    assert found.problems == []


CELLS = st.text(
    st.sampled_from("abF1.,;-+=\"'\t \r\u00a0é\u202e0/<>\\%\x1b"), max_size=8
) | st.sampled_from(["sub-1", "F", "61", "n/a", "NaN", "1e999", "None", "=1", "White"])


@given(st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=6), st.sampled_from("\t,;"))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cells(raw, end, rows, delimiter):
    text = HEAD.replace("\t", delimiter) + "\n".join(delimiter.join(row) for row in rows)
    checked(end, raw, text.encode())


@pytest.mark.parametrize("text", TEXTS[:53:2], ids=range(0, 53, 2))
def test_exclusion_list(raw, end, text, tmp_path):
    """A slip in it stops the study: nobody who withdrew is processed for it."""
    path = tmp_path / "exclude.tsv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    ended = end(cohort, raw, exclude=str(path))
    if not ended.refused:
        listed = {"sub-1", "sub-2", "sub-3"} & {
            w for line in text.splitlines() for w in line.split()
        }
        excluded = {
            one.subject.sub
            for one in ended.value.planned
            if one.problem.get("status") == "excluded"
        }
        assert listed <= excluded


OVERRIDES = "participant_id\tverdict\treason\tname\n"


@pytest.mark.parametrize(
    "text",
    ["", OVERRIDES, OVERRIDES + "sub-1\tpass\tok\tme\n", OVERRIDES + "sub-1\tmaybe\tok\tme\n",
     OVERRIDES + "sub-1\tPASS\tok\tme\n", OVERRIDES + "sub-1\t\tok\tme\n", OVERRIDES + "sub-1\tpass\t\t\n",
     OVERRIDES + "../x\tpass\tok\tme\n", OVERRIDES + "sub-1\tpass\n", OVERRIDES + "sub-1\tpass\tok\tme\tx\n",
     OVERRIDES + "sub-1\tpass\tok\tme\nsub-1\tfail\tok\tme\n", OVERRIDES + 'sub-1\t"pass\tok\tme\n',
     OVERRIDES.replace("verdict", "verdct") + "sub-1\tpass\tok\tme\n", OVERRIDES.replace("\t", ",") + "a,pass,b,c\n",
     "a\tb\n1\t2\n", OVERRIDES + "sub-1\tpass\t" + "x" * 10**6 + "\tme\n", OVERRIDES + "sub-1\tpass\tok\0\tme\n",
     "\ufeff" + OVERRIDES + "sub-1\tpass\tok\tme\n", (OVERRIDES + "sub-1\tpass\tok\tme\n").replace("\n", "\r\n"),
     OVERRIDES.replace("name", "verdict") + "sub-1\tpass\tok\tfail\n", "\t\t\t\n\t\t\t\n", '"""'],
    ids=range(22),
)  # fmt: skip
def test_overrides(tmp_path, end, text):
    path = tmp_path / "overrides.tsv"
    path.write_text(text)
    verdicts = pd.DataFrame({"unit": ["sub-1", "sub-2"], "verdict": ["fail", "fail"]})
    ended = end(lambda: apply_overrides(verdicts, read_overrides(path)))
    if not ended.refused:
        assert set(ended.value["verdict"]) <= {"pass", "review", "fail"}
        assert ended.value["verdict"].iloc[1] == "fail"


@pytest.mark.parametrize("data", [b"\xff\xfea\0", b"\xe9\n", bytes(300), b"PK\3\4" + bytes(90)])
def test_overrides_bytes(tmp_path, end, data):
    (tmp_path / "overrides.tsv").write_bytes(data)
    verdicts = pd.DataFrame({"unit": ["sub-1"], "verdict": ["fail"]})
    path = tmp_path / "overrides.tsv"
    assert end(lambda: apply_overrides(verdicts, read_overrides(path))).refused


def test_tables_that_are_folders(tmp_path, raw, end):
    assert end(read_overrides, tmp_path).refused
    assert end(cohort, raw, exclude=str(tmp_path)).refused
    ended = end(cohort, raw, source={"participants": str(tmp_path)})
    assert ended.refused or ended.value.problems
