"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Files that take longest, slowest first: of two workers that take file by file, neither is then
#: left alone with a long one at the end.
SLOWEST = (
    "test_workflow_slurm.py",
    "test_workflow_reruns.py",
    "test_workflow_storage.py",
    "test_workflow_withdraw.py",
    "test_brain_study.py",
    "test_workflow_study.py",
    "test_workflow_ukb.py",
    "experiment/test_workflow.py",
    "test_new_protocol.py",
    "test_workflow_kspace.py",
    "test_workflow_motion.py",
    "test_wheel.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slowest files first; the rest stays in its order."""
    rank = {name: place for place, name in enumerate(SLOWEST)}

    def place(item: pytest.Item) -> int:
        path = item.path
        return min(
            rank.get(path.name, len(rank)), rank.get(f"{path.parent.name}/{path.name}", len(rank))
        )

    items.sort(key=place)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data (``POPSCAN_DATA``, by default ``../shared/data``)."""
    path = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no real data at {path}: set POPSCAN_DATA")
    return path


@pytest.fixture
def good_slices() -> np.ndarray:
    """Labels (40, 40, 3, 2) of a heart that breaks no law: LV in a ring of MYO, RV beside it."""
    labels = np.zeros((40, 40, 3, 2), np.uint8)
    x, y = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    r = np.hypot(x - 24, y - 20)
    labels[5:18, 12:28] = 1
    labels[r < 11] = 2
    labels[r < 7] = 3
    return labels


@pytest.fixture
def rng() -> np.random.Generator:
    """Fresh random inputs each run; the seed is printed when a test fails."""
    seed = int(os.environ.get("POPSCAN_TEST_SEED", np.random.SeedSequence().entropy % 2**32))
    print(f"POPSCAN_TEST_SEED={seed}")
    return np.random.default_rng(seed)
