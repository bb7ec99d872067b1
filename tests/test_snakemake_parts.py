"""Parts of Snakemake that are no public interface and that the workflow relies on.

One that is renamed fails here, and not in a study: see ``clear_unfinished`` in
``workflow/rules/common.smk``, the head of the ``Snakefile``, and `popscan.lock`.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields

import snakemake
from packaging.requirements import Requirement
from snakemake.api import Workflow
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import DAGSettings

from popscan.lock import clear_stale_locks


def test_unfinished_files_can_be_made_again_without_a_question():
    assert DAGSettings().force_incomplete is False
    settings = DAGSettings()
    settings.force_incomplete = True  # as the workflow does: the class must not be frozen
    assert settings.force_incomplete
    assert "force_incomplete" in {field.name for field in fields(DAGSettings)}


def test_workflow_knows_what_the_rules_ask_it():
    # Of `config_settings` since 9; `dag_settings` is an attribute of the instance or of the class.
    assert {"is_main_process", "dryrun", "overwrite_configfiles", "basedir"} <= set(dir(Workflow))
    annotated = {field.name for field in fields(Workflow)}
    assert "dag_settings" in annotated | set(dir(Workflow))


def test_lock_that_snakemake_left_is_cleared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    persistence = FilePersistence(path=tmp_path / ".snakemake")
    persistence._write_locks("output", ["results/a/plan/plan.json"])
    persistence._write_locks("input", ["results/other/plan/plan.json"])
    assert len(list(persistence._read_locks())) == 2
    (removed,) = clear_stale_locks(tmp_path / ".snakemake", "results/a")
    assert removed.name == "0.output.lock"
    assert list(persistence._read_locks()) == [("input", "results/other/plan/plan.json")]


def test_installed_version_is_one_that_the_package_allows(repo_root):
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    (needed,) = (r for r in map(Requirement, project["dependencies"]) if r.name == "snakemake")
    assert needed.specifier.contains(snakemake.__version__)
    assert not needed.specifier.contains("10.0.0")
