"""``popscan check FOLDER`` on pipes, impossible sizes, odd names of files, and mixed folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from popscan.commands.sort_tree import as_text, sort_tree
from popscan.io.nifti import write_scan
from popscan.io.tree import Broken, Walked, keys_of, read_tree
from popscan.records import Scan
from popscan.sorting.facts import Facts
from tree_files import Visit, write_visits

#: What hung before is stopped by the clock.
pytestmark = pytest.mark.timeout(120)


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def save(path: Path, *, spacing=(2.0, 2.0, 8.0), shape=(32, 32, 1, 1), seed=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    write_scan(path, Scan(array=array, affine=np.diag([*spacing, 1.0]), spacing_mm=spacing))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.zip", "a.dcm", "a"])
def test_a_pipe_is_counted_and_not_opened(tmp_path, name):
    save(tmp_path / "b.nii.gz")
    os.mkfifo(tmp_path / name)
    found = sort_tree(tmp_path)
    assert found.n_series == 1
    assert found.walked.other["special"] == 1
    assert found.broken == []


def test_a_link_that_leads_nowhere_is_broken_and_no_special_file(tmp_path):
    for name in ("a.nii.gz", "a.zip", "a.dcm"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    found = sort_tree(tmp_path)
    assert [one.reason for one in found.broken] == ["file_missing"] * 3


WRONG = ((900.0, 900.0, 4.0), (1e-6, 1e-6, 8.0), (2.0, 1e-4, 8.0), (1e7, 2.0, 8.0))


def test_impossible_spacings_are_refused_and_do_not_hang(tmp_path):
    shape, root = (16, 16, 45, 1), tmp_path / "tree"
    image = np.random.default_rng(1).normal(500, 100, shape)
    for number, spacing in enumerate(WRONG):
        save(root / f"{number}.nii.gz", spacing=spacing, shape=shape)
        visit = Visit(root, number, {}, nifti=False)
        visit.save("a", image, np.diag([*spacing, 1.0]))
    save(root / "thin.nii.gz", spacing=(2.0, 2.0, 1e-6), shape=shape)
    # A filter that runs without end holds the interpreter: only another process can be stopped.
    words = ["check", str(root), "--out", str(tmp_path / "o")]
    code = f"from popscan.cli import main; main({words!r})"
    subprocess.run([sys.executable, "-c", code], timeout=90, check=True, capture_output=True)
    broken = table(tmp_path / "o" / "broken.tsv")
    assert set(broken["reason"]) == {"bad_spacing"}
    assert len(broken) == 2 * len(WRONG) + 1


@pytest.mark.timeout(40)
def test_a_volume_wider_than_any_body_is_no_volume_and_costs_no_memory(tmp_path):
    save(tmp_path / "a.nii.gz", spacing=(90.0, 90.0, 4.0), shape=(256, 256, 45, 1))
    (found,) = read_tree(tmp_path, Walked())
    assert isinstance(found, Facts)
    assert found.volume is None


ODD = {
    b"cour\xe9": "cour\\xe9",
    b"red\x1b[31m\x07": "red\\x1b[31m\\x07",
    b"tab\tline\nend": "tab\\tline\\nend",
    "turned\u202eround".encode(): "turned\\u202eround",
    b"\xc2\x9b1m": "\\u009b1m",
    b"back\\x1b": "back\\\\x1b",
    "größe ü".encode(): "größe ü",
}


def test_odd_names_of_files_are_escaped_in_tables_and_on_the_terminal(tmp_path):
    root = tmp_path / "tree"
    save(tmp_path / "one.nii.gz")
    for name in ODD:
        folder = os.fsencode(root) + b"/" + name
        os.makedirs(folder)
        shutil.copy(tmp_path / "one.nii.gz", folder + b"/a.nii.gz")
        Path(os.fsdecode(folder + b"/b.zip")).write_bytes(b"no archive")
        Path(os.fsdecode(folder + b"/c.d\xff\x1b[1m")).write_bytes(b"no image")
    found = sort_tree(root, out=tmp_path / "out")
    series, broken = (table(tmp_path / "out" / f"{n}.tsv") for n in ("series", "broken"))
    assert sorted(series["path"]) == sorted(f"{shown}/a.nii.gz" for shown in ODD.values())
    assert sorted(broken["path"]) == sorted(f"{shown}/b.zip" for shown in ODD.values())
    for line in as_text(found).splitlines():
        assert line.isprintable()
        line.encode()


def test_broken_files_are_counted_and_folders_apart(tmp_path):
    found = sort_tree(tmp_path)
    found.broken += [
        Broken(place="a", reason="damaged_files", n_files=7),
        Broken(place="b", reason="damaged_files", n_files=2),
        Broken(place="c", reason="unreadable_input", n_files=0),
        Broken(place="d", reason="unreadable_input"),
    ]
    assert "damaged_files (9), unreadable_input (1, 1 folder)" in as_text(found)


@pytest.mark.parametrize(
    ("place", "subject", "visit"),
    [
        ("study/sub-1/ses-2/func/a.nii.gz", "study/sub-1", "study/sub-1/ses-2"),
        ("other/sub-1/func/a.nii.gz", "other/sub-1", "other/sub-1"),
        ("s/derivatives/x/sub-1/a.nii.gz", "s/sub-1", "s/sub-1"),
        ("flat/sub-1_ses-2_T1w.nii.gz", "flat/sub-1", "flat/sub-1/ses-2"),
        ("study/train/patient0/a.nii.gz", "", "study/train/patient0"),
        ("a.nii.gz", "", "."),
    ],
)
def test_whose_a_file_is(place, subject, visit):
    assert keys_of(place) == (subject, visit)


def moved(root: Path, source: str, target: str) -> None:
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    for ending in (".nii.gz", ".json"):
        old = str(root / source).replace(".nii.gz", ending)
        shutil.move(old, str(root / target).replace(".nii.gz", ending))


def test_patients_of_one_folder_lend_each_other_no_short_axis(tmp_path):
    truth = write_visits(tmp_path / "made", 1, seed=4, first=2)
    truth |= write_visits(tmp_path / "made", 1, seed=4, first=5)
    flat = {}
    for number, (place, kind) in enumerate(truth.items()):
        moved(tmp_path, f"made/{place}", f"tree/flat/{number:03d}.nii.gz")
        flat[f"flat/{number:03d}.nii.gz"] = kind
    out = tmp_path / "out"
    found = sort_tree(tmp_path / "tree", out=out)
    series = table(out / "series.tsv")
    assert not series["by"].str.contains("short-axis stack|planes of the cine").any()
    wrong = [p for p, n in zip(series["path"], series["name"], strict=True)
             if n not in (flat[p], "unknown")]  # fmt: skip
    assert wrong == []
    clusters = pd.read_csv(out / "clusters.tsv", sep="\t")
    assert clusters["n_subjects"].isna().all()
    assert "subjects" in as_text(found)


def test_folders_of_patients_are_visits_and_their_number_is_not_guessed(tmp_path):
    truth: dict[str, str] = {}
    for number in (2, 5):
        made = write_visits(tmp_path / "made", 1, seed=4, first=number)
        for place, kind in made.items():
            moved(tmp_path, f"made/{place}", f"tree/study/train/p{number}/{Path(place).name}")
            truth[f"study/train/p{number}/{Path(place).name}"] = kind
    facts = [one for one in read_tree(tmp_path / "tree", Walked()) if isinstance(one, Facts)]
    assert {one.session for one in facts} == {"study/train/p2", "study/train/p5"}
    sort_tree(tmp_path / "tree", out=tmp_path / "out")
    series = table(tmp_path / "out" / "series.tsv")
    assert series["by"].str.contains("short-axis stack").any()
    assert set(table(tmp_path / "out" / "clusters.tsv")["n_subjects"]) == {"n/a"}


def test_subjects_are_counted_where_names_give_them(tmp_path):
    for number in range(3):
        save(tmp_path / "flat" / f"sub-{number}_T1w.nii.gz", seed=number)
    assert sum(row.as_dict("")["n_subjects"] for row in sort_tree(tmp_path).rows) == 3
