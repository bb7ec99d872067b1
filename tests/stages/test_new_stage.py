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

VIEW = """
import json
from pathlib import Path
import numpy as np
from popscan.io import write_scan
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.records import Scan

for sub, names in (("sub-1", ("T1w", "T2w")), ("sub-2", ("T1w",))):
    for name in names:
        path = Path("raw", sub, "anat", f"{sub}_{name}.nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.random.default_rng(1).random((8, 8, 8, 1), dtype=np.float32)
        write_scan(path, Scan(array=array, affine=np.eye(4), spacing_mm=(1, 1, 1), view=name))
protocol = get_protocol("brain_t1")
source = get_source("bids", protocol)
views = {
    item.sub: sorted(source.load([str(p) for p in item.paths], views=("t1w", "t2w")).scans)
    for item in source.find(Path("raw"))
}
print(json.dumps({"views": views, "needed": protocol.defaults()["source"]["views"]}))
"""

METHOD = """
import json
import numpy as np
from popscan.arrays.fourier import centred_fft
from popscan.recon import reconstruct
from popscan.records import KSpace, PopscanError

image = np.zeros((1, 32, 32, 1, 1), np.complex64)
image[:, 10:22, 10:22] = 1
data = centred_fft(image, axes=(1, 2)).astype(np.complex64)
kspace = KSpace(data=data, mask=np.ones((32, 1), bool), affine=np.eye(4), spacing_mm=(1, 1, 8))
plain = reconstruct(kspace, method="zero_filled").array
same, soft = (reconstruct(kspace, method="windowed", edge=edge).array for edge in (1.0, 0.2))
try:
    reconstruct(kspace, method="windowed", edges=1)
except PopscanError as error:
    refused = str(error)
print(json.dumps({
    "same": float(np.abs(same - plain).max()),
    "steepest": [float(np.abs(np.diff(a, axis=0)).max()) for a in (plain, soft)],
    "refused": refused,
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
    kinds = [kind for _, kind, _ in added]
    assert kinds == ["python", "python", "diff", "diff", "diff", "diff", "python", "diff"]
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


def test_a_view_is_read_where_it_is_there_and_asked_of_nobody(copy):
    done = run(copy, "-c", VIEW)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["views"] == {"sub-1": ["t1w", "t2w"], "sub-2": ["t1w"]}
    assert read["needed"] == ["t1w"]


def test_a_reconstruction_method_is_chosen_by_name_and_does_what_it_says(copy):
    done = run(copy, "-c", METHOD)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["same"] < 1e-5
    plain, soft = measured["steepest"]
    assert soft < 0.7 * plain
    assert "no option 'edges'" in measured["refused"]


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
