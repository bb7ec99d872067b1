"""Files that BIDS asks for beside derivatives: what they are, and who made them.

Sources: BIDS 1.10 (derivatives); BIDS extension proposal 28 (provenance), here for the whole data
set: activities, software, environment. Sidecars of single files name no activity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from popscan.disk import write_atomic
from popscan.report.names import name_of
from popscan.stages.report.provenance import Provenance

BIDS_VERSION = "1.10.0"
_LABEL = "popscan"


def write_bids_files(
    study_root: Path, facts: Provenance, *, name: str, stages: Sequence[str]
) -> None:
    """Describe ``derivatives/`` as a BIDS data set; nothing in it names a subject or a folder.

    Parameters
    ----------
    study_root
        ``results/<study>``. Without ``derivatives/`` nothing is written.
    facts
        What ``provenance.json`` holds.
    name
        Title of the study.
    stages
        Stages per subject that the study has, in their order.
    """
    folder = study_root / "derivatives"
    if not folder.is_dir():
        return
    _write(folder / "dataset_description.json", description(facts, name=name, stages=stages))
    for suffix, content in records(facts, stages=stages).items():
        _write(folder / "prov" / f"prov-{_LABEL}_{suffix}.json", content)


def description(facts: Provenance, *, name: str, stages: Sequence[str]) -> dict[str, object]:
    """Return the content of ``dataset_description.json``."""
    model = facts["model"]
    made = [
        {
            "Name": "popscan",
            "Version": facts["popscan"],
            "Description": "Stages: "
            + ", ".join(f"{stage} {facts['stages'][stage]}" for stage in stages),
        }
    ]
    if model["digest"]:
        made.append(
            {
                "Name": str(model["name"]),
                "Version": str(model["digest"]),
                "Description": "Model bundle of the segmentation; the version is its digest.",
            }
        )
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": made,
    }


def records(
    facts: Provenance, *, stages: Sequence[str]
) -> Mapping[str, Mapping[str, list[dict[str, object]]]]:
    """Return suffix (``act``, ``soft``, ``env``) -> content of that provenance file."""
    software = {"popscan": facts["popscan"], **facts["packages"]}
    machine = {"python": facts["python"], **facts["machine"]}
    return {
        "act": {
            "Activities": [
                {
                    "Id": _id(f"{stage}-{facts['stages'][stage]}"),
                    "Label": name_of(stage).title,
                    "Command": f"popscan stage {stage}",
                    "AssociatedWith": _id("popscan"),
                    "Used": [_id("environment")],
                }
                for stage in stages
            ]
        },
        "soft": {
            "Software": [
                {"Id": _id(package), "Label": package, "Version": version}
                for package, version in software.items()
            ]
        },
        "env": {
            "Environments": [
                {
                    "Id": _id("environment"),
                    "Label": "Environment of the report's job",
                    "OperatingSystem": " ".join(str(part) for part in machine.values()),
                }
            ]
        },
    }


def _id(name: str) -> str:
    return f"bids::prov#{name}"


def _write(path: Path, content: Mapping[str, object]) -> None:
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
