"""What a study was made with: versions, model, seed, machine, and who is in it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from popscan import __version__
from popscan.config import Segment, study_seed
from popscan.plan import read_plan
from popscan.protocols import protocol_of
from popscan.segment.known import read_known
from popscan.stages import STAGES, version_of
from popscan.stages.segment.bundles import bundle_path, model_of

_PACKAGES = (
    "monai",
    "nibabel",
    "numpy",
    "pandas",
    "pydicom",
    "scipy",
    "simpleitk",
    "snakemake",
    "statsmodels",
    "torch",
)


class ModelFacts(TypedDict):
    """The bundle that segmented; both empty without one."""

    name: str
    digest: str


class CohortFacts(TypedDict):
    """Counts of the plan, and its messages."""

    n_subjects: int
    removed: int
    withdrawn: dict[str, int]
    unlisted: int
    problems: list[str]


class Provenance(TypedDict):
    """The file ``provenance.json``; packages and stages by name, each with its version."""

    popscan: str
    packages: dict[str, str]
    python: str
    machine: dict[str, str]
    seed: int
    config: Mapping[str, object]
    model: ModelFacts
    stages: dict[str, str]
    cohort: CohortFacts


def provenance(study_root: Path, config: Mapping[str, object]) -> Provenance:
    """Versions, model digest, seed, machine and stage versions: what the study was made with."""
    model = model_of(protocol_of(config), Segment.of(config))
    path = bundle_path(model) if model else Path("no model")
    plan = read_plan(study_root)
    return {
        "popscan": __version__,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "seed": study_seed(config),
        "config": config,
        "model": {
            "name": path.name,
            "digest": read_known(path).digest if model else "",
        },
        "stages": {name: version_of(name) for name in STAGES},
        "cohort": {
            "n_subjects": plan["n_subjects"],
            "removed": len(plan["removed"]),
            "withdrawn": plan.get("withdrawn", {}),
            "unlisted": len(plan["unlisted"]),
            "problems": [*plan["problems"], *plan.get("notes", [])],
        },
    }
