"""UK Biobank's field tables in the forms in which they are exported, and its withdrawal lists."""

from __future__ import annotations

import pytest

from popscan.io.cohort import read_cohort
from popscan.io.ukb_fields import ATTRIBUTES, field_column
from popscan.io.ukb_table import FieldTable, is_field_table, withdrawn_eids
from ukb_files import write_field_table

#: Field, instance, array -> the cell of each of three participants.
CELLS = {
    (31, 0, 0): ("0", "1", "1"),
    (21003, 0, 0): ("50", "60", "41"),
    (21003, 2, 0): ("58", "69", ""),
    (21003, 3, 0): ("61", "", ""),
    (21000, 0, 0): ("1001", "-3", "4002"),
    (21000, 1, 0): ("", "3001", ""),
    (54, 0, 0): ("11010", "11010", "11002"),
    (54, 2, 0): ("11025", "11026", ""),
    (54, 3, 0): ("11027", "", ""),
    (12144, 2, 0): ("170", "", ""),
    (50, 0, 0): ("171.5", "180", "160"),
    (50, 2, 0): ("171", "179", ""),
    (4080, 2, 0): ("120", "", ""),
    (4080, 2, 1): ("131", "", ""),
    (93, 2, 0): ("", "140", ""),
    (20116, 2, 0): ("-3", "2", ""),
    (30750, 0, 0): ("35.1", "40", ""),
    (6138, 0, 0): ("1", "2", "3"),
}
EIDS = ("1000012", "2000023", "3000034")
VISITS = {"sub-1000012": ["ses-2", "ses-3"], "sub-2000023": ["ses-2"]}

FORMS = {
    "ukbconv csv": ("eid", lambda f, i, a: f"{f}-{i}.{a}"),
    "ukbconv R": ("f.eid", lambda f, i, a: f"f.{f}.{i}.{a}"),
    "read.csv of R": ("eid", lambda f, i, a: f"X{f}.{i}.{a}"),
    "ukbtools": ("eid", lambda f, i, a: f"some_words_f{f}_{i}_{a}"),
    "platform": ("eid", lambda f, i, a: rap(f, i, a)),
    "platform with entity": ("participant.eid", lambda f, i, a: f"participant.{rap(f, i, a)}"),
}
#: Fields without instances on the platform.
SINGLE = {31}


def rap(number, instance, array):
    name = f"p{number}" if number in SINGLE else f"p{number}_i{instance}"
    return f"{name}_a{array}" if number in {4080, 93} else name


def table(path, form="ukbconv csv", cells=CELLS, eids=EIDS):
    eid, name = FORMS[form]
    rows = [
        {eid: one, **{name(*key): values[n] for key, values in cells.items()}}
        for n, one in enumerate(eids)
    ]
    return write_field_table(path, rows)


def read(path, **wanted):
    wanted = {"visits": VISITS, **wanted}
    found = read_cohort(path, fields=FieldTable(**wanted))
    rows = {
        f"{row['participant_id']}_{row['session_id']}": row for row in found.rows.to_dict("records")
    }
    return rows, found


EXPECTED = {
    "sub-1000012_ses-2": {
        "sex": "female", "age_years": "58", "ethnic_background": "White",
        "site": "Cheadle (imaging)", "height_cm": "170", "sbp_mmhg": "125.5", "smoking": "",
    },
    "sub-1000012_ses-3": {
        "sex": "female", "age_years": "61", "ethnic_background": "White",
        "site": "Newcastle (imaging)", "height_cm": "", "sbp_mmhg": "", "smoking": "",
    },
    "sub-2000023_ses-2": {
        "sex": "male", "age_years": "69", "ethnic_background": "Asian or Asian British",
        "site": "Reading (imaging)", "height_cm": "179", "sbp_mmhg": "140", "smoking": "Current",
    },
}  # fmt: skip


def chosen(rows):
    return {
        unit: {name: row[name] for name in next(iter(EXPECTED.values()))}
        for unit, row in rows.items()
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_table_gives_the_same_rows_by_visit(tmp_path, form):
    rows, found = read(table(tmp_path / "t.csv", form))
    assert chosen(rows) == EXPECTED
    assert found.problems == []
    said = "; ".join(found.notes)
    assert "sbp_mmhg: is UK Biobank field 4080, else 93 (the visit's instance, mean of 2" in said
    assert "ethnic_background: is UK Biobank field 21000 (first instance recorded)" in said
    assert "1 participants of the table have no images" in said
    assert "2 other fields are not used" in said


def test_decoded_cells_are_read_as_codes_are(tmp_path):
    words = {
        (31, 0, 0): ("Female", "Male", "Male"),
        (21000, 0, 0): ("British", "Prefer not to answer", "African"),
        (21000, 1, 0): ("", "Indian", ""),
        (54, 2, 0): ("Cheadle (imaging)", "Reading (imaging)", ""),
        (54, 3, 0): ("Newcastle (imaging)", "", ""),
        (20116, 2, 0): ("Prefer not to answer", "Current", ""),
    }
    rows, _ = read(table(tmp_path / "t.csv", cells={**CELLS, **words}))
    assert chosen(rows) == EXPECTED


def test_titles_as_names_of_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "Participant ID,Sex,Age when attended assessment centre | Instance 0,"
        "Age when attended assessment centre | Instance 2,"
        '"Systolic blood pressure, automated reading | Instance 2 | Array 0"\n'
        "1000012,Female,50,58,120\n2000023,Male,60,69,\n"
    )
    rows, _ = read(path)
    assert rows["sub-1000012_ses-2"]["age_years"] == "58"
    assert rows["sub-1000012_ses-2"]["sbp_mmhg"] == "120"
    assert rows["sub-2000023_ses-2"]["sex"] == "male"


def test_participants_without_images_are_rows_where_a_bulk_column_promises_images(tmp_path):
    cells = {**CELLS, (20209, 2, 0): ("20209_2_0", "20209_2_0", "20209_2_0")}
    rows, _ = read(table(tmp_path / "t.csv", cells=cells), image_fields=(20209,))
    assert sorted(rows) == [*sorted(EXPECTED), "sub-3000034_ses-2"]
    cells[20209, 3, 0] = ("", "20209_3_0", "")
    rows, _ = read(table(tmp_path / "u.csv", cells=cells), image_fields=(20209,))
    assert "sub-2000023_ses-3" in rows
    assert "sub-1000012_ses-3" in rows


def test_own_fields_and_fields_that_are_not_there(tmp_path):
    rows, found = read(table(tmp_path / "t.csv"), own={"hba1c": 30750, "site": 6138, "x": 99})
    assert rows["sub-1000012_ses-3"]["hba1c"] == "35.1"
    assert rows["sub-1000012_ses-3"]["site"] == "1"
    assert [p.found for p in found.problems] == ["no column of x (field 99)"]


def test_images_without_a_visit_are_of_the_first_imaging_visit(tmp_path):
    rows, _ = read(table(tmp_path / "t.csv"), visits={"sub-2000023": [""]})
    assert rows["sub-2000023_"]["age_years"] == "69"
    rows, _ = read(table(tmp_path / "t.csv"), visits=None)
    assert rows["sub-1000012_"]["age_years"] == "58"
    assert len(rows) == 3


def test_broken_rows_are_named_and_the_others_read(tmp_path):
    path = table(tmp_path / "t.csv", eids=("1000012", "2000023", "1000012"))
    with path.open("a") as file:
        file.write("2000023,1,2\n,,\n../x" + "," * len(CELLS) + "\n")
    rows, found = read(path)
    assert chosen(rows) == EXPECTED
    assert [p.found for p in found.problems] == [
        "sub-1000012 again (first on line 2, which is used)", "3 cells", "no eid",
    ]  # fmt: skip


@pytest.mark.parametrize("end", [b'\n"open', b"\n\xff\xfe,1\n", b"\n\0,1\n"])
def test_damaged_tables_are_problems(tmp_path, end):
    path = table(tmp_path / "t.csv")
    path.write_bytes(path.read_bytes() + end)
    _, found = read(path)
    assert found.problems


def test_other_tables_are_no_field_tables(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tsex\tp31\n1\t0\t1\n")
    assert not is_field_table(path)
    path.write_text("eid\tage\n1\t50\n")
    assert not is_field_table(path)
    assert not is_field_table(tmp_path / "none.csv")
    assert field_column("p_value") is None
    assert field_column("f31") is None


def test_attributes_have_names_and_fields_of_their_own():
    assert len({a.name for a in ATTRIBUTES}) == len(ATTRIBUTES)
    fields = [f for a in ATTRIBUTES for f in a.fields]
    assert len(set(fields)) == len(fields)


def test_withdrawal_lists(tmp_path):
    path = tmp_path / "w12345_20230425.csv"
    for text in (
        "1000012\n2000023\n",
        "\ufeff1000012\r\n2000023",
        '"1000012"\n"2000023"\n',
        "eid\n1000012\n2000023\n",
    ):
        path.write_text(text)
        assert withdrawn_eids(path) == ["1000012", "2000023"]
    for text in ("", "participant_id\n1000012\n", "1000012\nsub-2\n", "1000012\t2\n"):
        path.write_text(text)
        assert not withdrawn_eids(path)
    assert withdrawn_eids(tmp_path / "none.csv") is None
