"""A first config from a folder of raw data: popscan takes what it wrote."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from popscan.commands.check import check_study
from popscan.commands.configfile import load_config
from popscan.commands.draft import draft_study
from popscan.records import PopscanError


def cine(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.zeros((8, 8, 2, 2), np.int16), np.diag([2.0, 2.0, 10.0, 1.0]))
    nib.save(image, path)


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for name in ("sub-01", "sub-02"):
        cine(tmp_path / "raw" / name / "cine" / f"{name}_sax.nii.gz")
    return tmp_path / "raw"


def test_data_without_a_table_get_one_to_fill_in(bids: Path, tmp_path: Path) -> None:
    draft = draft_study(bids, tmp_path / "mine.yaml")
    config = load_config(draft.config)
    assert (config.study.name, config.source.kind) == ("mine", "bids")
    assert Path(config.source.root) == bids
    assert draft.table == Path(config.source.participants)
    table = pd.read_csv(draft.table, sep="\t")
    assert list(table["participant_id"]) == ["sub-01", "sub-02"]
    assert list(table) == ["participant_id"]
    assert (config.fairness.attributes, config.atlas.groups) == ([], [])
    assert "2 subjects, 2 visits; read as bids" in draft.notes[0]


def beating(path: Path, *, label: bool = False) -> None:
    """Write one frame of a ring in noise, or its labels, on eight slices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(np.arange(64) - 32, np.arange(64) - 32, indexing="ij")
    r = np.hypot(x, y)
    ring = np.where(r < 10, 3, np.where(r < 15, 2, 0))
    plane = ring if label else 100 + 30 * ring + np.random.default_rng(1).normal(0, 5, r.shape)
    array = np.repeat(plane[:, :, None], 8, axis=2).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 10.0, 1.0])), path)


@pytest.mark.parametrize("table", ["", "participant_id\tcentre\nsub-patient001\tA\n"])
def test_what_was_drafted_passes_check(tmp_path: Path, table: str) -> None:
    """Data without a sex, as ACDC's: with no table at all, and with one of other columns."""
    for name in ("patient001", "patient002"):
        folder = tmp_path / "raw" / name
        for frame in ("01", "05"):
            beating(folder / f"{name}_frame{frame}.nii.gz")
            beating(folder / f"{name}_frame{frame}_gt.nii.gz", label=True)
        (folder / "Info.cfg").write_text("ED: 1\nES: 5\nGroup: NOR\nNbFrame: 10\n")
    if table:
        (tmp_path / "raw" / "participants.tsv").write_text(table + "sub-patient002\tB\n")
    draft = draft_study(tmp_path / "raw", tmp_path / "mine.yaml")
    config = load_config(draft.config)
    assert config.source.kind == "acdc"
    assert config.fairness.attributes == ([] if table else ["group"])
    problems, _ = check_study(draft.config)
    assert problems == []


def test_attributes_are_those_of_the_datas_own_table(bids: Path, tmp_path: Path) -> None:
    columns = "participant_id\tsex\trace\tage_years\theight_cm\tweight_kg\n"
    rows = "sub-01\tF\tBlack\t50\t170\t70\nsub-02\tM\tWhite\t60\t180\t80\n"
    (bids / "participants.tsv").write_text(columns + rows)
    draft = draft_study(bids, tmp_path / "mine.yaml")
    fairness = load_config(draft.config).fairness
    assert fairness.attributes == ["sex", "race", "age_band", "bmi_class"]
    assert fairness.intersections == [["sex", "race"]]
    assert draft.table is None


def test_a_folder_of_other_files_is_not_taken_for_dicom(tmp_path: Path) -> None:
    (tmp_path / "raw" / "letters").mkdir(parents=True)
    (tmp_path / "raw" / "letters" / "a.txt").write_text("x" * 200)
    with pytest.raises(PopscanError, match="nothing there that the protocol cine_sax reads"):
        draft_study(tmp_path / "raw", tmp_path / "mine.yaml")
    assert not (tmp_path / "mine.yaml").exists()


def test_dicom_is_known_by_its_mark(tmp_path: Path) -> None:
    for name in ("1000012", "1000024"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "IM1").write_bytes(bytes(128) + b"DICM" + bytes(8))
    draft = draft_study(tmp_path / "raw", tmp_path / "mine.yaml")
    assert load_config(draft.config).source.kind == "dicom"


@pytest.mark.parametrize("there", ["mine.yaml", "mine_participants.tsv"])
def test_nothing_is_written_over(there: str, bids: Path, tmp_path: Path) -> None:
    (tmp_path / there).write_text("kept")
    with pytest.raises(PopscanError, match="is there already"):
        draft_study(bids, tmp_path / "mine.yaml")
    assert (tmp_path / there).read_text() == "kept"


def test_a_name_that_no_study_can_have(bids: Path, tmp_path: Path) -> None:
    with pytest.raises(PopscanError, match="its name is the study's"):
        draft_study(bids, tmp_path / "my study!.yaml")


@pytest.mark.parametrize(
    "names", [("sub-01/sub-01_sax_kspace.h5",), ("P1/cine_sax.mat",), ("a.h5",)]
)
def test_raw_k_space_is_recognised(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"not opened")
    draft = draft_study(tmp_path / "raw", tmp_path / "mine.yaml")
    assert load_config(draft.config).source.kind == "kspace"
    assert "1 subjects, 1 visits; read as kspace" in draft.notes[0]
