"""A tiny experiment through real Snakemake: one job per training, one bad arm, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from popscan.commands.check import check_study
from popscan.config import Config
from popscan.experiment.design import trials
from popscan.records import PopscanError, Status
from popscan.stages.experiment.data import subjects
from popscan.stages.experiment.job import run_trial_job

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "experiments" / "imbalance_demo.yaml"
TINY = {
    "study": {"name": "tiny"},
    "source": {"kind": "simulated"},
    "simulate": {
        "matrix": 48,
        "spacing_mm": 4.5,
        "bias": [{"attribute": "sex", "group": "female", "kind": "contrast", "strength": 1.0}],
    },
    "experiment": {
        "attribute": "sex",
        "groups": ["female", "male"],
        "shares_pct": [0, 50],
        "n_train": 2,
        "n_test": 2,
        "seeds": [1],
        "field_px": 48,
        "slice_distance_mm": 40,
        "recipe": {
            "architecture": "unet",
            "architecture_arguments": {"channels": [4, 8], "residual_units": 0},
            "spacing_mm": 4.5,
            "patch": 48,
            "batch": 2,
            "steps": 3,
            "warmup_steps": 1,
            "autocast": False,
        },
        "mitigations": {
            "none": {},
            "broken": {"classifier": 1, "adversary": 1, "shares_pct": [50]},
        },
    },
}


def snakemake(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = ["timeout", "-k", "10", "1000", sys.executable, "-m", "snakemake"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1", *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def write(folder: Path, config: dict) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def changed(**keys) -> dict:
    return {**TINY, "experiment": {**TINY["experiment"], **keys}}


@pytest.mark.parametrize(
    ("path", "n"), [(DEMO, 100), (DEMO.with_name("imbalance_cluster.yaml"), 300)]
)
def test_shipped_experiments_are_checked_and_as_large_as_their_page_says(path, n):
    problems, notes = check_study(path)
    assert problems == []
    config = Config.model_validate(yaml.safe_load(path.read_text())).model_dump()
    assert f"experiment: {n} trainings" in " ".join(notes)
    assert len(trials(config["experiment"])) == n
    assert f"{n} trainings" in (ROOT / "docs" / "experiments.md").read_text()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"groups": ["female", "martian"]}, "too few simulated participants of martian"),
        ({"attribute": "planet"}, "no column 'planet'"),
        ({"field_px": 47}, "experiment.field_px: 47; a multiple of 2"),
        ({"recipe": {"steps": 3, "speed": 1}}, "unknown keys speed"),
        ({"shares_pct": [101]}, "experiment.shares_pct: 101"),
    ],
)
def test_check_tells_what_would_spoil_it(keys, told, tmp_path):
    problems, _ = check_study(write(tmp_path, changed(**keys)))
    assert any(told in text for text in problems), problems


def test_only_the_needed_participants_are_rendered():
    options = Config.model_validate(TINY).model_dump()
    planned = subjects(options)
    sexes = pd.Series([p.subject.row["sex"] for p in planned]).value_counts().to_dict()
    # The first group is at most half of two, the second all of two; and two of each to test.
    assert sexes == {"female": 3, "male": 4}
    assert [p.subject.unit for p in subjects(options)] == [p.subject.unit for p in planned]


def test_a_dry_run_of_the_demo_has_one_job_per_training(tmp_path):
    done = snakemake("--configfile", str(DEMO), "--dry-run", cwd=tmp_path)
    config = Config.model_validate(yaml.safe_load(DEMO.read_text())).model_dump()
    counts = dict(
        line.split() for line in done.stdout.splitlines() if line.startswith("experiment")
    )
    assert int(counts["experiment_trial"]) == len(trials(config["experiment"]))
    assert "segment" not in done.stdout.split()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "path", sorted(DEMO.parent.glob("*_cluster.yaml")), ids=lambda path: path.stem
)
def test_a_dry_run_for_a_cluster_has_one_gpu_job_per_training(path, tmp_path):
    problems, _ = check_study(path)
    assert problems == []
    profile = ROOT / "workflow" / "profiles" / "slurm"
    given = ["--configfile", str(path), "--profile", str(profile)]
    done = snakemake(*given, "--dry-run", cwd=tmp_path)
    config = Config.model_validate(yaml.safe_load(path.read_text())).model_dump()
    jobs = done.stdout.split("rule experiment_trial:")[1:]
    assert len(jobs) == len(trials(config["experiment"]))
    assert all("slurm_partition=gpu" in text and "gpu=1" in text for text in jobs)
    assert len({text.partition("trial=")[2].splitlines()[0] for text in jobs}) == len(jobs)


@pytest.mark.workflow
@pytest.mark.slow
def test_a_tiny_experiment_runs_to_its_page_and_again_only_what_is_missing(tmp_path):
    path = write(tmp_path, TINY)
    snakemake("--configfile", str(path), cwd=tmp_path)
    root = tmp_path / "results" / "tiny" / "experiment"
    table = pd.read_csv(root / "tables" / "trials.tsv", sep="\t", keep_default_na=False)
    assert table["status"].tolist() == ["ok", "ok", "failed"]
    assert table["reason"].tolist()[-1] == "bad_recipe"
    page = (root / "index.html").read_text()
    assert "2 of 3" in page
    dice = pd.read_parquet(root / "tables" / "dice.parquet")
    assert dice.groupby("trial")["subject"].nunique().tolist() == [4, 4]
    tested = set(dice["subject"])
    sets = json.loads((root / "split.json").read_text())
    assert tested == {unit for units in sets["test"].values() for unit in units}
    assert not (root / "work").exists() or not list((root / "work").rglob("*.safetensors"))
    again = snakemake("--configfile", str(path), "--dry-run", cwd=tmp_path)
    assert "Nothing to be done" in again.stdout + again.stderr
    # One more seed: its trainings alone, and no new data.
    path = write(tmp_path, changed(seeds=[1, 2]))
    more = snakemake("--configfile", str(path), "--dry-run", cwd=tmp_path)
    counts = dict(
        line.split() for line in more.stdout.splitlines() if line.startswith("experiment")
    )
    assert counts == {"experiment": "1", "experiment_trial": "3"}


def test_a_grid_that_cannot_be_is_refused_before_anything_runs(tmp_path):
    path = write(tmp_path, changed(groups=["female"]))
    with pytest.raises(AssertionError, match=r"experiment\.groups"):
        snakemake("--configfile", str(path), "--dry-run", cwd=tmp_path)


def test_a_failed_trial_is_tried_again_and_a_good_one_kept(tmp_path):
    from popscan.experiment.design import trial_section
    from popscan.stages.experiment.data import prepare_part, split

    study, options = tmp_path / "tiny", Config.model_validate(TINY).model_dump()
    records = prepare_part(study, 0, options)
    assert {r.status for r in records} == {Status.OK}
    split(study, options)

    def run(index: int, **keys):
        section = trial_section(options["experiment"], trials(options["experiment"])[index])
        return run_trial_job(
            study,
            trials(options["experiment"])[index].name,
            {"experiment": {**section, **keys}, "device": "cpu"},
        )

    good = run(1)
    assert good.status is Status.OK
    assert run(1) == good
    bad = run(2)
    assert (bad.status, bad.reason) == (Status.FAILED, "bad_recipe")
    assert "choose one" in bad.message
    mended = {"mitigation": {"sampling": "stratified", "crop_px": 0}}
    assert run(2, **mended).status is Status.OK


def test_each_subject_has_one_visit_in_training_or_test(tmp_path, monkeypatch, capsys):
    from dataclasses import replace

    from popscan.stages.experiment import data as experiment_data

    study, options = tmp_path / "tiny", Config.model_validate(TINY).model_dump()
    visits = [
        replace(one, subject=replace(one.subject, ses=ses))
        for one in subjects(options)
        for ses in ("ses-1", "ses-2")
    ]
    monkeypatch.setattr(experiment_data, "subjects", lambda _: visits)
    experiment_data.prepare_part(study, 0, options)
    sets = experiment_data.split(study, options)
    units = [u for side in ("test", "pool") for us in sets[side].values() for u in us]
    assert sorted(units) == sorted({v.subject.unit for v in visits if v.subject.ses == "ses-1"})
    assert sets["left_out"] == len(visits) // 2
    assert f"Left out: {len(visits) // 2} repeated visits (" in capsys.readouterr().out


def test_labelled_studies_go_the_same_way(data_dir, tmp_path):
    from popscan.stages.experiment.data import prepare_part, split

    root = data_dir / "acdc"
    if not root.is_dir():
        pytest.skip(f"no ACDC at {root}")
    few = tmp_path / "acdc"
    few.mkdir()
    wanted = {"DCM": 3, "NOR": 4}
    for folder in sorted(root.glob("patient*")):
        info = (folder / "Info.cfg").read_text()
        group = next(g for g in (*wanted, "") if f"Group: {g}" in info)
        if wanted.get(group, 0):
            wanted[group] -= 1
            (few / folder.name).symlink_to(folder)
    options = Config.model_validate(
        {
            "source": {"kind": "acdc", "root": str(few)},
            "experiment": {
                "attribute": "group",
                "groups": ["DCM", "NOR"],
                "shares_pct": [0, 50],
                "n_train": 2,
                "n_test": 2,
                "field_px": 64,
                "recipe": {"spacing_mm": 4.0},
            },
        }
    ).model_dump()
    records = prepare_part(tmp_path / "study", 0, options)
    assert [r.status for r in records] == [Status.OK] * 7
    sets = split(tmp_path / "study", options)
    assert {g: len(u) for g, u in sets["test"].items()} == {"DCM": 2, "NOR": 2}
    with pytest.raises(
        PopscanError, match=r"too few subjects of DCM, NOR \(DCM: 3 usable, 6 needed"
    ):
        split(
            tmp_path / "study", {**options, "experiment": {**options["experiment"], "n_train": 9}}
        )
