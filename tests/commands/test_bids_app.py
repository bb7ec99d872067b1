"""The call of a BIDS App: what is run for whom, and what is refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from popscan.commands.bids_app import bids_command
from popscan.commands.configfile import load_config
from popscan.records import PopscanError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    image = nib.Nifti1Image(np.zeros((4, 4, 2, 2), np.int16), np.diag([2.0, 2.0, 10.0, 1.0]))
    for name in ("sub-01", "sub-02"):
        folder = tmp_path / "in" / name / "cine"
        folder.mkdir(parents=True)
        nib.save(image, folder / f"{name}_sax.nii.gz")
    return tmp_path / "in"


def configs(command: list[str]) -> list[Path]:
    start = command.index("--configfile") + 1
    return [Path(word) for word in command[start:] if word.endswith(".yaml")]


def test_group_level_is_the_whole_study(data: Path, tmp_path: Path) -> None:
    command = bids_command(data, tmp_path / "out", "group", protocol="cine_sax")
    (path,) = configs(command)
    config = load_config(path)
    assert (config.source.kind, Path(config.source.root)) == ("bids", data)
    assert Path(config.study.results, config.study.name) == tmp_path / "out" / "popscan"
    assert not config.subjects


@pytest.mark.parametrize(("labels", "wanted"), [
    ([], ["sub-01", "sub-02"]), (["02"], ["sub-02"]), (["sub-02", "01"], ["sub-02", "sub-01"]),
])  # fmt: skip
def test_participant_level_is_that_of_the_subjects_named(
    labels: list[str], wanted: list[str], data: Path, tmp_path: Path
) -> None:
    command = bids_command(
        data, tmp_path / "out", "participant", labels=labels, protocol="cine_sax"
    )
    _, subset = configs(command)
    assert load_config(subset).subjects == wanted


def test_a_config_that_a_person_changed_stays(data: Path, tmp_path: Path) -> None:
    bids_command(data, tmp_path / "out", "group", protocol="cine_sax")
    path = tmp_path / "out" / "popscan.yaml"
    path.write_text(path.read_text() + "plan: {shard_size: 8}\n")
    bids_command(data, tmp_path / "out", "group", protocol="cine_sax")
    assert load_config(path).plan.shard_size == 8


def test_options_go_to_snakemake(data: Path, tmp_path: Path) -> None:
    command = bids_command(
        data, tmp_path / "out", "group", protocol="cine_sax", cores="3", options=["--dry-run"]
    )
    assert command[-1] == "--dry-run"
    assert command[command.index("--cores") + 1] == "3"


def test_unknown_subjects_and_empty_folders_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PopscanError, match="no such subject: sub-07"):
        bids_command(data, tmp_path / "out", "participant", labels=["07"], protocol="cine_sax")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PopscanError, match="no sub-"):
        bids_command(tmp_path / "empty", tmp_path / "out", "group", protocol="cine_sax")
    assert not (tmp_path / "out").exists()
