"""What a job pays before its first subject: the task of a stage is imported without libraries."""

from __future__ import annotations

import json
import subprocess
import sys

from popscan.stages import SUBJECT_STAGES

#: Each takes a tenth of a second or more, in every shard of every stage.
HEAVY = {
    "SimpleITK", "h5py", "matplotlib", "nibabel", "pandas", "pyarrow", "pydicom", "scipy",
    "statsmodels", "torch",
}  # fmt: skip
#: Optional stages that read the study's tables first, or compare with the measures of others.
OTHERS = {"rca", "variants", "stopping"}
CODE = """
import importlib, json, sys
from popscan.stages.tasks import TASKS
loaded = {}
for stage in sys.argv[1:]:
    module, _, function = TASKS[stage].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    loaded[stage] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(loaded))
"""


def test_a_task_loads_its_libraries_with_the_first_subject():
    stages = [stage for stage in SUBJECT_STAGES if stage not in OTHERS]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *stages], capture_output=True, text=True, check=True
    )
    loaded = json.loads(done.stdout)
    assert list(loaded) == stages
    assert "numpy" in loaded["simulate"]
    assert {stage: HEAVY.intersection(names) for stage, names in loaded.items()} == {
        stage: set() for stage in stages
    }
