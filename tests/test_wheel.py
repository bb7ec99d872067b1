"""The wheel in an environment that has no checkout: workflow, models and commands are in it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[1]
STUDY = """study: {name: tiny}
source: {kind: simulated}
simulate: {n_subjects: 2, n_frames: 3, kspace: false, matrix: 64, spacing_mm: 3.4,
  allocation: quota, faults: {corrupt_values: 0.5}}
fairness: {attributes: [sex], intersections: []}
"""

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment with the wheel; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", ROOT]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = (folder / "dist").glob("popscan-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    install = ["--python", python, "install", "--no-deps", wheel]
    subprocess.run([*pip, *install], check=True)
    # A .pth within a folder that a .pth names is not read: the editable popscan stays hidden.
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(numpy.__file__).parents[1]}\n")
    return folder / "env"


def popscan(environment: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean["PATH"] = f"{environment / 'bin'}:/usr/bin:/bin"
    command = [environment / "bin" / "popscan", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)


def test_workflow_is_that_of_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = "from popscan.installation import workflow_folder; print(workflow_folder())"
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert Path(done.stdout.strip()).is_relative_to(environment)
    brought = Path(done.stdout.strip())
    for name in ("config", "workflow", "resources/models"):
        here = {p.relative_to(ROOT) for p in (ROOT / name).rglob("*") if p.is_file()}
        there = {p.relative_to(brought) for p in (brought / name).rglob("*") if p.is_file()}
        assert here == there


def test_a_study_runs_from_any_folder(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    both = ("--config", "subjects=sub-0001,sub-0002")
    done = popscan(environment, tmp_path, "run", "study.yaml", "--cores", "2", *both)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/tiny/manifests/biomarkers/00000.parquet").is_file()
    lines = done.stderr.splitlines()
    assert any(line.endswith("segment begins") for line in lines)
    assert any("ingest done: 2 subjects: 1 ok, 1 failed (" in line for line in lines), lines
    # What Snakemake lists of jobs is in its log only.
    assert "rule segment" not in done.stderr


def test_an_unknown_config_names_those_that_are_brought(environment: Path, tmp_path: Path) -> None:
    done = popscan(environment, tmp_path, "run", "nothing")
    assert done.returncode == 1
    assert "nothing: no such config file; popscan brings" in done.stderr
    assert "demo" in done.stderr


def test_errors_of_jobs_are_shown(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "study: {name: none}\nsource: {kind: bids, root: nowhere}\n"
    )
    done = popscan(environment, tmp_path, "run", "study.yaml", "--cores", "1")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
