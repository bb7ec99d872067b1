"""What stages say of themselves is true, and what follows from it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from popscan import stages
from popscan.commands.rerun import stages_from
from popscan.methods import resolve
from popscan.stages import (
    STAGES,
    SUBJECT_STAGES,
    TOOLKITS,
    built_on,
    optional_stages,
    stages_of,
    upstream_of,
    version_of,
)

FOLDER = Path(stages.__file__).parent
#: Calls of a `ShardContext` whose first argument is a stage.
CALLS = {"digest", "has", "path", "record"}


def code_of(stage: str) -> Iterator[ast.AST]:
    """Return all nodes of a stage's folder, and of the package of its name."""
    own = (FOLDER.parent / {"reconstruct": "recon"}.get(stage, stage)).rglob("*.py")
    for path in [*(FOLDER / stage).glob("*.py"), *own]:
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def packages(stage: str) -> set[str]:
    """Packages of popscan that a stage's folder imports from."""
    named: set[str] = set()
    for node in code_of(stage):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("popscan."):
            named.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "popscan":
            named |= {alias.name for alias in node.names}
    return named


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "report"])
def test_packages_that_a_stage_calls_are_those_that_it_says(stage):
    folder = stage.partition("_")[0]
    here = [one for one in STAGES.values() if one.name.partition("_")[0] == folder]
    said = {used for one in here for used in one.uses}
    # `popscan.plan` writes and reads shards; what is said of a stage in the report is no result.
    assert packages(folder) & ({*STAGES, *TOOLKITS} - {folder, "plan", "report"}) <= said
    assert said <= {*STAGES, *TOOLKITS}


@pytest.mark.parametrize("stage", SUBJECT_STAGES)
def test_records_that_a_task_reads_are_of_stages_that_it_says(stage):
    named = {
        node.args[0].value
        for node in code_of(stage)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CALLS
        and ast.unparse(node.func.value) == "context"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert named - {stage} <= {*STAGES[stage].reads}


def test_stages_are_listed_after_what_they_read():
    names = list(STAGES)
    for name in names:
        assert all(names.index(one) < names.index(name) for one in built_on(name)), name


@pytest.mark.parametrize("stage", SUBJECT_STAGES)
def test_every_task_is_there(stage):
    tasks = {name: one.task for name, one in SUBJECT_STAGES.items()}
    assert callable(resolve(tasks, stage, "stages"))


def test_a_subject_is_skipped_after_what_stands_right_above():
    assert upstream_of("ingest") == ("simulate",)
    assert upstream_of("segment") == ("reconstruct",)
    assert upstream_of("score") == upstream_of("rca") == ("segment",)


def test_rerun_from_a_stage_takes_those_that_build_on_it():
    assert stages_from("score") == ["score"]
    assert stages_from("segment") == [
        "segment",
        "score",
        "qc",
        "biomarkers",
        "rca",
        "motion",
        "variants",
    ]
    assert stages_from("simulate") == list(SUBJECT_STAGES)


def test_a_raised_version_is_one_of_all_that_use_the_code(monkeypatch):
    before = {name: version_of(name) for name in STAGES}
    raised = replace(STAGES["biomarkers"], version="1000")
    monkeypatch.setattr(stages, "STAGES", {**STAGES, "biomarkers": raised})
    changed = {name for name in STAGES if version_of(name) != before[name]}
    assert changed == {"biomarkers", "score", "variants", "stopping"}
    monkeypatch.setattr(stages, "TOOLKITS", {**TOOLKITS, "arrays": 2})
    assert version_of("score").endswith("+arrays-2")


def test_a_stage_is_enabled_by_its_section_or_by_its_own_options():
    assert optional_stages({}) == []
    assert optional_stages({"rca": {"enabled": True}}) == ["rca"]
    assert optional_stages({"stages": {"motion": {"enabled": True}}}) == ["motion"]
    assert optional_stages({"motion": {"enabled": True}, "stages": {"motion": {}}}) == []
    assert "motion" not in stages_of("bids")
    assert "motion" in stages_of("bids", optional=["motion"])


def test_stages_are_listed_by_their_own_names():
    assert [stage.name for stage in STAGES.values()] == list(STAGES)


def test_a_job_loads_the_descriptions_of_its_own_stage_and_of_those_above():
    code = (
        "import sys; from popscan.stages import TASKS, upstream_of, version_of;"
        "TASKS['segment'], version_of('segment'), upstream_of('segment');"
        "print(*{m.split('.')[2] for m in sys.modules if m.startswith('popscan.stages.')})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert loaded >= {"segment", "reconstruct", "ingest"}
    assert not loaded & {"score", "rca", "atlas", "visibility", "fairness", "report", "collect"}


def test_naming_the_stages_loads_nothing_heavy():
    code = "import sys, popscan.stages; print(*{m.partition('.')[0] for m in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "torch", "pydantic", "yaml"} & set(run.stdout.split())


def test_only_who_computes_with_networks_waits_for_torch():
    code = (
        "import sys, popscan.cli.main, popscan.cli.rules, popscan.stages.report.job;"
        "import popscan.stages.score.task, popscan.stages.qc.task, popscan.stages.biomarkers.task;"
        "from popscan.protocols import get_protocol; get_protocol('cine_sax').network_codes;"
        "from popscan.stages.segment.bundles import load_known; load_known('cine_sax');"
        "from popscan.stages.report.provenance import provenance;"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
