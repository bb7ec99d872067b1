"""The contribution guide's examples, done as they stand there, on a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

CONFIG = """
study: {name: s}
source: {kind: simulated}
simulate: {n_subjects: 2, kspace: false, matrix: 64, spacing_mm: 3.4, n_frames: 3}
stages: {contrast: {trim_pct: 1}}
"""
#: Most files that a list of the guide may name.
MOST_FILES = 3
MEASURE = """
import json
import numpy as np
from popscan.protocols.brain_t1.biomarkers import DICTIONARY, measure
from popscan.protocols.brain_t1.labels import LABELS
from popscan.protocols.brain_t1.qc import CHECKS, Context
from popscan.qc import run_checks
from popscan.records import Scan

labels = np.zeros((40, 8, 8, 1), np.uint8)
for place, code in enumerate(LABELS.names):
    labels[place % 40, 2:6, 2:6] = code
scan = Scan(array=labels.astype(np.float32), affine=np.eye(4), spacing_mm=(1, 1, 1), view="t1w")
checks = run_checks(CHECKS, Context(scan, labels))
print(json.dumps({
    "value": measure(labels, spacing_mm=(1, 1, 1))["grey_white_ratio"],
    "meaning": DICTIONARY["grey_white_ratio"].meaning,
    "check": [c.value for c in checks if c.name == "grey_white_ratio"],
}))
"""

TABLE = """
import json
from contextlib import ExitStack
from pathlib import Path
from popscan.stages import STAGES
from popscan.stages.collect.streams import StageStreams, manifests
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.tables import read_table, refuse_undescribed

store = Store(Path("results/s"))
with ExitStack() as stack:
    streams = StageStreams(store.root, STAGES["contrast"].tables, stack)
    for manifest in manifests(store, "contrast", ["00000"]):
        streams.add(manifest)
    written = streams.close()["contrast"]
columns = dictionary.of("contrast")
refuse_undescribed("contrast", written.names, columns)
table = read_table(store.root, "contrast")
print(json.dumps({"values": table["grey_range"].tolist(), "unit": columns["grey_range"].unit}))
"""


@pytest.fixture(scope="module")
def guide(repo_root) -> str:
    """The contribution guide."""
    return (repo_root / "CONTRIBUTING.md").read_text(encoding="utf-8")


def apply(diff: str, path: Path) -> None:
    """Change a file as a diff without line numbers says; every hunk fits at one place."""
    text = path.read_text(encoding="utf-8")
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"{path}: the guide's example does not fit:\n{hunk}"
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(repo_root, guide, tmp_path_factory) -> Path:
    """A copy of the project with all that the guide adds."""
    root = tmp_path_factory.mktemp("copy")
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "workflow"):
        shutil.copytree(repo_root / name, root / name, ignore=skipped)
    shutil.copy(repo_root / "Snakefile", root)
    for name in ("resources", "config", "envs"):
        (root / name).symlink_to(repo_root / name)
    added = re.findall(r"`(src/\S+)`[^`\n]*:\n\n```(python|diff)\n(.*?)```", guide, re.DOTALL)
    assert [kind for _, kind, _ in added] == ["python", "python", "diff", "diff", "diff"]
    for name, kind, text in added:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if kind == "diff":
            apply(text, path)
        else:
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
    (root / "config.yaml").write_text(CONFIG)
    return root


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the copy."""
    folder = Path(sys.executable).parent
    paths = {"PYTHONPATH": str(copy / "src"), "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=copy, env={**os.environ, **paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_list_of_the_guide_is_short(guide):
    table = guide.partition("| to add | files |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.count("|") == 3][1:]
    assert len(rows) >= 7
    for part, files in rows:
        named = re.findall(r"`((?:stages|protocols|recon)/\S+)`|the function's (file)", files)
        assert len(named) <= MOST_FILES, part


def test_a_biomarker_and_a_check_of_it_are_there(copy):
    done = run(copy, "-c", MEASURE)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["value"] > 0
    assert measured["check"] == [measured["value"]]
    assert measured["meaning"] == "Grey matter over white matter volume"


def test_check_knows_its_options(copy):
    wrong = "contrast: {trim: 1, trim_pct: 60}, contrasts: {}"
    (copy / "bad.yaml").write_text(CONFIG.replace("contrast: {trim_pct: 1}", wrong))
    done = run(copy, "-m", "popscan", "check", "--configfile", "bad.yaml")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "stages.contrast.trim: unknown key (did you mean 'trim_pct'?)" in said
    assert re.search(r"stages\.contrast\.trim_pct: .*less than 50", said)
    assert "stages.contrasts: no such stage (did you mean 'contrast'?); expected: contrast" in said


@pytest.mark.slow
@pytest.mark.workflow
def test_snakemake_runs_it_and_its_numbers_come_with_what_they_mean(copy):
    manifest = "results/s/manifests/contrast/00000.parquet"
    planned = run(copy, "-m", "popscan", "plan", "--configfile", "config.yaml")
    assert planned.returncode == 0, planned.stderr
    start = ("-m", "snakemake", "--configfile", "config.yaml", "--cores", "1")
    done = run(copy, *start, manifest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(pd.read_parquet(copy / manifest)["status"]) == ["ok", "ok"]
    table = run(copy, "-c", TABLE)
    assert table.returncode == 0, table.stderr
    collected = json.loads(table.stdout)
    assert len(collected["values"]) == 2
    assert min(collected["values"]) > 0
    assert collected["unit"] == "grey values"
