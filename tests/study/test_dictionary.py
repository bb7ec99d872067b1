"""Every table is declared with what its columns mean, and none is written with others."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from popscan.columns import Column
from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.stages import STAGES, tables
from popscan.study import dictionary
from popscan.study.tables import UndescribedColumn, read_table, write_table

KINDS = {"number", "text", "flag", "any"}


@pytest.mark.parametrize("protocol", ["cine_sax", "brain_t1"])
@pytest.mark.parametrize("table", tables())
def test_every_column_of_every_table_has_a_meaning(table, protocol):
    columns = dictionary.of(table, get_protocol(protocol))
    assert columns
    for name, column in columns.items():
        assert isinstance(column, Column), name
        assert column.meaning, name
        assert column.kind in KINDS, name


def test_no_two_stages_declare_the_same_table():
    names = [name for stage in STAGES.values() for name in stage.tables]
    assert len(names) == len(set(names)) == len(tables())


def test_a_table_that_no_stage_declares_is_an_error():
    with pytest.raises(PopscanError, match="table nope: no stage declares it"):
        dictionary.of("nope")


def test_a_column_without_description_is_refused_and_nothing_is_written(tmp_path):
    table = pd.DataFrame({"unit": ["sub-1"], "shininess": [2.0], "gloss": [1.0]})
    with pytest.raises(UndescribedColumn, match=r"segmentation.*'shininess', 'gloss'.*Stage\.tab"):
        write_table(tmp_path, "segmentation", table, dictionary.of("segmentation"))
    assert not list(tmp_path.rglob("*.*"))


def test_columns_that_a_study_brings_are_described_where_a_table_has_such(tmp_path):
    table = pd.DataFrame({"unit": ["sub-1"], "sex": ["female"], "smoker": ["no"]})
    write_table(
        tmp_path, "participants", table, dictionary.of("participants", names=map(str, table))
    )
    written = json.loads((tmp_path / "tables" / "participants.json").read_text())
    assert written["smoker"] == {
        "unit": "", "meaning": "as in the cohort table", "source": "cohort table", "kind": "any",
    }  # fmt: skip
    assert written["sex"]["meaning"] == "female, male or unknown"
    assert list(read_table(tmp_path, "participants")) == list(written)
    assert set(dictionary.of("ledger", names=["smoker"])) == set(dictionary.of("ledger"))
