"""Reruns through real Snakemake: who was really redone is counted in the journals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from nbclient import NotebookClient
from rocrate.rocrate import ROCrate

from small_study import (
    BAD,
    BELOW,
    GOOD,
    LATE,
    LIMITS,
    ROOT,
    STAGES,
    TO_TABLES,
    Redone,
    assert_adds_up,
    assert_nothing_to_do,
    configure,
    damage_everything,
    derivative,
    ledger,
    lose_line,
    popscan,
    rows,
    scan_path,
    snakemake,
    tables,
    tree,
    write_participants,
    write_subject,
)

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a study run to its report: three good subjects, and one of a torn file.

    It was begun with one subject; that it equals one that was not is seen by the last comparison
    of `test_new_input_new_subject_new_model_equal_a_run_from_scratch`.
    """
    cwd = tmp_path_factory.mktemp("finished")
    for row in rows([*GOOD, BAD]):
        write_subject(cwd, row)
    bad = scan_path(cwd, BAD)
    bad.write_bytes(bad.read_bytes()[:2000])
    write_participants(cwd, [*GOOD, BAD])
    shutil.copytree(ROOT / "resources" / "models" / "cine_sax", cwd / "model")
    # More names than a command line holds.
    configure(cwd)
    with (cwd / "config.yaml").open("a") as config:
        config.write(f"subjects: [{', '.join(['sub-0003'] * 15_000)}]\n")
    redone = Redone(cwd)
    snakemake(cwd)
    assert redone() == {stage: ["sub-0003"] for stage in STAGES}
    configure(cwd)
    snakemake(cwd)
    assert redone() == {stage: ["sub-0001", "sub-0002", BAD] for stage in STAGES}
    return cwd


@pytest.fixture
def study(finished, tmp_path) -> Path:
    """Copy of the finished study: every path in it is relative, every time is kept."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


def test_finished_study_adds_up_and_has_nothing_to_do(finished):
    assert_adds_up(finished, [*GOOD, BAD])
    told = ledger(finished).set_index(["unit", "stage"])["status"]
    assert told[BAD, "ingest"] == "failed"
    assert {told[unit, "biomarkers"] for unit in GOOD} == {"ok"}
    assert_nothing_to_do(finished)


def test_pages_and_reviews_of_a_finished_study(study):
    folder = study / "results" / "tiny"
    written = popscan(study, "page", "sub-0001", BAD, str(folder)).split()
    assert written == [f"{folder}/report/subjects/{unit}.html" for unit in ("sub-0001", BAD)]
    page = (folder / "report" / "subjects" / "sub-0001.html").read_text(encoding="utf-8")
    for part in ("data-frames=", "Volume curve", "most similar values", "Every check"):
        assert part in page
    lost = (folder / "report" / "subjects" / f"{BAD}.html").read_text(encoding="utf-8")
    assert "no picture" in lost
    with pytest.raises(subprocess.CalledProcessError) as wrong:
        popscan(study, "page", "sub-00001", str(folder))
    assert "did you mean sub-0001" in wrong.value.stderr
    out = study / "review.html"
    popscan(study, "review", str(folder), "--subjects", "sub-0001,sub-0002", "--out", str(out))
    assert out.read_text(encoding="utf-8").count('<article class="subject"') == 2


def test_the_notebook_from_python_works(study):
    """The notebook of the tutorial is executed as a person would, cell by cell in a kernel."""
    notebook = nbformat.read(ROOT / "docs" / "tutorials" / "study.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = (ROOT / "docs" / "tutorials" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [cell.source for cell in cells] == [block.rstrip("\n") for block in blocks]
    assert len(cells) >= 6
    assert not any(cell.outputs for cell in cells), "committed without outputs"
    for cell in cells:
        cell.source = cell.source.replace("results/demo", "results/tiny")
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(study)}})
    client.execute()
    assert "analysed" in str(cells[0].outputs) or "biomarkers" in str(cells[0].outputs)
    svg = (study / "attrition.svg").read_text(encoding="utf-8")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"')


def test_a_crate_of_what_may_be_shared(study):
    """Read back by rocrate: the run, its workflow and results; nothing of a subject or a place."""
    folder = study / "results" / "tiny"
    out = study / "crate"
    popscan(study, "crate", str(folder), "--out", str(out), "--licence", "CC-BY-4.0")
    crate = ROCrate(out)
    run = crate.dereference("#run")
    assert run.type == "CreateAction"
    assert run["instrument"].id == "Snakefile"
    results = {entity.id for entity in run["result"]}
    shared = {
        path.relative_to(folder).as_posix()
        for path in (folder / "share").rglob("*")
        if path.is_file()
    }
    assert results == shared | {"run.json"}
    for name in shared:
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert crate.license.id == "https://spdx.org/licenses/CC-BY-4.0"
    assert not (out / "workflow" / "profiles").exists()
    described = (out / "ro-crate-metadata.json").read_text() + (out / "run.json").read_text()
    assert not re.search(r"sub-\d|config\.yaml|/tmp|" + re.escape(str(study)), described)
    with pytest.raises(subprocess.CalledProcessError) as again:
        popscan(study, "crate", str(folder), "--out", str(out), "--licence", "CC-BY-4.0")
    assert "exists; name a new" in again.value.stderr
    shutil.rmtree(folder / "share")
    with pytest.raises(subprocess.CalledProcessError) as early:
        popscan(study, "crate", str(folder), "--out", str(study / "b.zip"), "--licence", "CC0-1.0")
    assert "run the study to its report first" in early.value.stderr


def test_subset_run_does_only_those_named_and_a_plain_run_the_rest(study, finished):
    """A changed QC threshold, first for one subject: segmentation is not redone."""
    configure(study, qc={"thresholds": {**LIMITS, "snr": {"review": 30}}})
    redone = Redone(study)
    snakemake(study, "--config", "subjects=sub-0002")
    assert redone() == {"qc": ["sub-0002"]}
    snakemake(study, *TO_TABLES)
    assert redone() == {"qc": ["sub-0001", "sub-0003"]}
    assert_adds_up(study, [*GOOD, BAD])


def test_rerun_redoes_what_was_marked_with_the_same_result(study, finished):
    """Marks of several commands add up."""
    redone = Redone(study)
    popscan(study, "rerun", "--subjects", "sub-0001", "--from", "segment")
    popscan(study, "rerun", "--all", "--stage", "qc")
    popscan(study, "rerun", "--failed")
    snakemake(study)
    expected = {stage: ["sub-0001"] for stage in BELOW}
    assert redone() == {**expected, "ingest": [BAD], "qc": [*GOOD, BAD]}
    assert tables(study) == tables(finished)
    assert_nothing_to_do(study)


def test_changed_option_redoes_its_stage_and_below_only_what_changes(study):
    configure(study, segment={"largest_component": False})
    redone = Redone(study)
    snakemake(study, *TO_TABLES)
    found = redone()
    assert found["segment"] == GOOD
    assert set(found) <= set(BELOW)


@pytest.mark.timeout(3600)
def test_new_input_new_subject_new_model_equal_a_run_from_scratch(study, tmp_path):
    """Each change redoes its own; all together end as a run that never knew the old."""
    redone = Redone(study)
    write_subject(study, rows(GOOD)[1], brightness=0.5)
    popscan(study, "plan", "--configfile", "config.yaml")
    snakemake(study, *TO_TABLES)
    found = redone()
    assert found["ingest"] == ["sub-0002"]
    assert {unit for units in found.values() for unit in units} == {"sub-0002"}

    write_subject(study, rows([*GOOD, BAD, LATE])[-1])
    write_participants(study, [*GOOD, BAD, LATE])
    snakemake(study, *TO_TABLES)
    found = redone()
    assert found["ingest"] == [LATE]
    assert "sub-0001" not in {unit for units in found.values() for unit in units}

    change_model(study / "model")
    snakemake(study)
    found = redone()
    assert found["segment"] == [*GOOD, LATE]
    assert set(found) <= set(BELOW)

    assert_nothing_to_do(study)
    assert_adds_up(study, [*GOOD, BAD, LATE])
    scratch = tmp_path / "scratch"
    for name in ("raw", "model"):
        shutil.copytree(study / name, scratch / name)
    configure(scratch)
    snakemake(scratch)
    assert tables(study) == tables(scratch)


def change_model(folder: Path) -> None:
    """Make another model of it: the last layer leans towards the left ventricle."""
    import hashlib

    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "weights.safetensors")
    (name,) = [n for n, v in weights.items() if n.endswith("output_block.conv.conv.bias")]
    weights[name][3] += 1
    save_file(weights, folder / "weights.safetensors")
    about = yaml.safe_load((folder / "model.yaml").read_text())
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "model.yaml").write_text(yaml.safe_dump({**about, "weights_sha256": digest}))


def test_the_same_command_brings_back_what_is_gone(finished, study):
    whole, root = finished / "results" / "tiny", study / "results" / "tiny"
    damage_everything(root)
    dry = snakemake(study, "--dry-run")
    assert "are lost or were changed" in dry
    snakemake(study)
    assert tables(study) == tables(finished)
    for folder in ("derivatives", "share/tables", "plan/shards"):
        assert tree(root / folder) == tree(whole / folder), folder
    for folder in ("report", "share"):
        assert tree(root / folder).keys() == tree(whole / folder).keys()
        assert all(tree(root / folder).values())
    assert_nothing_to_do(study)


def test_lost_record_and_removed_images_heal_below_a_changed_option(study):
    """Nobody fails for what is gone above; segmentation comes out as before."""
    root = study / "results" / "tiny"
    lose_line(root / "store" / "segment" / "00000.jsonl", "sub-0001")
    for folder in (root / "derivatives").glob("*/ingest"):
        shutil.rmtree(folder)
    configure(study, qc={"thresholds": {**LIMITS, "snr": {"review": 30}}})
    redone = Redone(study)
    snakemake(study)
    found = redone()
    assert (found["ingest"], found["segment"], found["qc"]) == (GOOD, ["sub-0001"], GOOD)
    told = pd.read_parquet(root / "tables" / "ledger.parquet").set_index(["unit", "stage"])
    assert {told.loc[(unit, "qc"), "status"] for unit in GOOD} <= {"ok", "excluded"}
    assert_adds_up(study, [*GOOD, BAD])
    assert_nothing_to_do(study)


def test_rerun_and_verify_name_what_is_lost(study):
    root = study / "results" / "tiny"
    lose_line(root / "store" / "segment" / "00000.jsonl", "sub-0001")
    shutil.rmtree(root / "derivatives" / "sub-0003" / "ingest")
    said = popscan(study, "rerun", "--failed")
    assert "segment: 1 records" in said
    assert "ingest: 2 records" in said  # who failed, and who lost an image
    snakemake(study)
    image = derivative(root, "sub-0002", "ingest")
    stat = image.stat()
    image.write_bytes(bytes(stat.st_size))
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "Nothing to be done" in snakemake(study)
    command = [sys.executable, "-m", "popscan", "verify", "--deep"]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert image.name in done.stdout
    redone = Redone(study)
    snakemake(study, *TO_TABLES)
    assert redone() == {"ingest": ["sub-0002"]}
    assert popscan(study, "verify", "--deep") == "all files are as they were written\n"
