"""Wheel and sdist in an environment without a checkout: workflow, models, commands are in it."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
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


PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def built_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a checkout or of an sdist."""
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*PIP, *build], check=True)
    (wheel,) = folder.glob("popscan-*.whl")
    return wheel


def installed(package: Path, folder: Path) -> Path:
    """Folder of an environment with the package; its dependencies are those of the tests."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["--python", python, "install", "--no-deps", package]
    subprocess.run([*PIP, *install], check=True)
    # A .pth within a folder that a .pth names is not read: the editable popscan stays hidden.
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{Path(numpy.__file__).parents[1]}\n")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of the checkout."""
    return built_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an environment with the wheel."""
    return installed(wheel, tmp_path_factory.mktemp("wheel") / "env")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sdist of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("popscan-*.tar.gz")
    return archive


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


def test_an_sdist_holds_what_is_worked_with_and_nothing_else(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        (top,) = {name.split("/")[0] for name in archive.getnames()}
        brought = {name.partition("/")[2] for name in archive.getnames()}
    assert top == sdist.name.removesuffix(".tar.gz")
    named = ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "Makefile")
    assert {*named, "Snakefile", "pyproject.toml", "mkdocs.yml", "PKG-INFO"} <= brought
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    here = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    folders = ("config", "docs", "envs", "resources", "src", "tests", "workflow")
    must = {name for name in here if name.split("/")[0] in folders}
    assert must - brought == set()
    assert brought - here - {"PKG-INFO"} == set()
    assert not {name.split("/")[0] for name in brought} & {"findings", "benchmarks", ".ci"}


def test_an_sdist_gives_the_wheel_of_the_checkout(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    of_sdist = built_wheel(sdist, tmp_path / "wheel")
    contents = []
    for path in (wheel, of_sdist):
        with zipfile.ZipFile(path) as archive:
            contents.append({info.filename: info.CRC for info in archive.infolist()})
    assert contents[0] == contents[1]
    environment = installed(sdist, tmp_path / "env")
    done = popscan(environment, tmp_path, "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == sdist.name.removesuffix(".tar.gz").split("-")[-1]
    where = "import popscan; print(popscan.__file__)"
    python = environment / "bin" / "python"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(environment)
