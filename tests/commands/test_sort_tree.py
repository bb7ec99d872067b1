"""``popscan check FOLDER`` on simulated visits, damaged files and the shared series."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from popscan.cli import main
from popscan.commands.sort_tree import as_text, sort_tree
from popscan.records import PopscanError
from popscan.sorting.summary import BROKEN, CLUSTERS, SERIES
from tree_files import write_visits


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    return root, write_visits(root, 2, seed=4, first=1)


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def test_simulated_visits_are_named_and_none_wrongly(tree, tmp_path):
    root, truth = tree
    found = sort_tree(root, out=tmp_path / "out")
    series = table(tmp_path / "out" / "series.tsv")
    assert sorted(series["path"]) == sorted(truth)
    given = dict(zip(series["path"], series["name"], strict=True))
    wrong = {p: (n, truth[p]) for p, n in given.items() if n not in (truth[p], "unknown")}
    assert wrong == {}
    assert sum(name != "unknown" for name in given.values()) >= 0.9 * len(truth)
    kinds = series.groupby("cluster")["path"].agg(lambda paths: len({truth[p] for p in paths}))
    assert (kinds == 1).all()
    assert found.n_series == len(truth)
    assert found.broken == []
    for name, columns in (("clusters", CLUSTERS), ("series", SERIES), ("broken", BROKEN)):
        assert list(table(tmp_path / "out" / f"{name}.tsv").columns) == list(columns)
        meaning = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert sorted(meaning) == sorted(columns)
    clusters = table(tmp_path / "out" / "clusters.tsv")
    assert clusters["n_series"].sum() == len(truth)


def test_the_same_tree_gives_the_same_bytes_and_without_paths_no_name_of_a_file(tree, tmp_path):
    root, _ = tree
    for name in ("a", "b"):
        sort_tree(root, out=tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    sort_tree(root, out=tmp_path / "c", paths=False)
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["clusters.json", "clusters.tsv"]
    text = (tmp_path / "c" / "clusters.tsv").read_text()
    assert "exam" not in text
    assert "patient" not in text


def test_files_of_one_folder_and_of_a_zip_are_the_same_series(tree, tmp_path):
    root, _ = tree
    flat, packed = tmp_path / "flat", tmp_path / "packed"
    flat.mkdir(), packed.mkdir()
    with zipfile.ZipFile(packed / "one.zip", "w") as archive:
        for number, path in enumerate(sorted((root / "p001").rglob("*"))):
            if path.is_file():
                shutil.copy(path, flat / f"{number:05d}")
                archive.write(path, f"{number:05d}")
    names = [
        sorted((row.name, row.n) for row in sort_tree(place).rows)
        for place in (root / "p001", flat, packed)
    ]
    assert names[0] == names[1] == names[2]


def test_broken_series_are_listed_with_their_reasons_and_others_go_on(tree, tmp_path):
    root, truth = tree
    place = next(p for p, kind in truth.items() if kind == "sax_cine" and not p.endswith("gz"))
    copy = tmp_path / "tree" / "exam"
    shutil.copytree(root / place, copy)
    first = sorted(copy.iterdir())[0]
    (copy / "cut.dcm").write_bytes(first.read_bytes()[:300])
    (tmp_path / "tree" / "a.nii.gz").write_bytes(gzip.compress(b"no image" * 100))
    (tmp_path / "tree" / "b.zip").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "tree" / "notes.txt").write_text("x")
    (tmp_path / "tree" / "odd").write_bytes(b"neither image nor archive" * 20)
    found = sort_tree(tmp_path / "tree", out=tmp_path / "out")
    assert found.n_series >= 1
    reasons = {one.place: one.reason for one in found.broken}
    assert reasons["b.zip"] == "zip_truncated"
    assert reasons["a.nii.gz"] in ("not_an_image", "bad_header")
    assert reasons["exam"] == "damaged_files"
    assert found.walked.other[".txt"] == 1
    assert "damaged_files (1)" in as_text(found)
    assert len(table(tmp_path / "out" / "broken.tsv")) == len(found.broken)


def test_the_command_prints_the_table_and_refuses_what_cannot_be(tree, tmp_path, capsys):
    root, _ = tree
    assert main(["check", str(root / "v002")]) == 0
    assert "four-chamber cine" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / "empty")]) == 2
    with pytest.raises(PopscanError, match="no such folder"):
        sort_tree(tmp_path / "nowhere")
    with pytest.raises(PopscanError, match="lies in the folder"):
        sort_tree(root, out=root / "out")
    assert main(["check", "--out", str(tmp_path / "x")]) != 0


@pytest.mark.data
def test_the_shared_exam_is_named_as_its_images_show(tmp_path):
    data = Path(os.environ.get("POPSCAN_DATA", "../shared/data")) / "cine_exam"
    if not data.is_dir():
        pytest.skip(f"needs real data: {data}")
    sort_tree(data, out=tmp_path / "out")
    series = table(tmp_path / "out" / "series.tsv")
    names = {Path(p).name: n for p, n in zip(series["path"], series["name"], strict=True)}
    expected = {f"Se{n}": "sax_cine" for n in (1, 2, 3, 4, 5, 11)}
    expected |= {"Se6": "4ch_cine", "Se7": "3ch_cine", "Se8": "2ch_cine", "Se10": "rvot_cine"}
    assert names == expected | {"Se9": "unknown"}
    assert np.isfinite(series["sharpness"]).all()
