"""What a study may share, as an RO-Crate: files, workflow and run, described for a repository."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from popscan.installation import workflow_folder
from popscan.opened import OpenedStudy
from popscan.records import PopscanError
from popscan.stages.report.provenance import Provenance

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

#: Specification that rocrate writes, the one on which these profiles rest.
VERSION = "1.1"
#: Profiles that a crate conforms to: https://www.researchobject.org/workflow-run-crate.
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_KINDS = {
    ".html": "text/html",
    ".json": "application/json",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/vnd.apache.parquet",
}
#: What of provenance.json goes into a crate: neither the config (paths, names) nor the cohort.
_FACTS = ("popscan", "python", "packages", "seed", "model", "stages")


def write_crate(
    study: OpenedStudy,
    out: Path,
    *,
    licence: str,
    name: str = "",
    description: str = "",
    author: str = "",
) -> Path:
    """Write an RO-Crate of what a study may share.

    In it are the files of ``share/``, the workflow, and the run: versions of popscan and of its
    packages, the model's digest, the seed and the stages' versions (``run.json``). The config stays
    out, since it holds paths and names.

    Parameters
    ----------
    study
        A study that ran to its report.
    out
        A new folder, or a new file that ends in ``.zip``.
    licence
        SPDX identifier (``CC-BY-4.0``) or address of the licence of the results.
    name, description
        Title and abstract of the crate. Without a description it says what the files are.
    author
        ORCID address of who made the study.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    PopscanError
        If ``share/`` is empty, ``out`` exists, or the package rocrate is not installed.

    Notes
    -----
    Soiland-Reyes et al., Packaging research artefacts with RO-Crate, Data Science 5(2), 2022.
    Leo et al., Recording provenance of workflow runs with RO-Crate, PLoS One 19(9), 2024.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError:
        raise PopscanError(
            "popscan crate needs the package rocrate: pip install 'popscan[crate]'"
        ) from None
    share = study.root / "share"
    shared = sorted(path for path in share.rglob("*") if path.is_file()) if share.is_dir() else []
    if not shared:
        raise PopscanError(f"{share}: nothing to share yet; run the study to its report first")
    if out.exists():
        raise PopscanError(f"{out} exists; name a new folder or .zip file")
    facts = json.loads((study.root / "provenance.json").read_text(encoding="utf-8"))
    crate = ROCrate(version=VERSION)
    crate.name = name or f"Results of the study {study.root.name}"
    crate.description = description or (
        "Results of a population imaging study that may be shared: report and tables without"
        " identifiers and small cells, made by popscan."
    )
    crate.license = _licence(crate, licence)
    crate.root_dataset["conformsTo"] = [_profile(crate, address) for address in PROFILES]
    results = [
        crate.add_file(path, path.relative_to(study.root).as_posix(), properties=_described(path))
        for path in shared
    ]
    run = json.dumps({key: facts[key] for key in _FACTS if key in facts}, indent=1, sort_keys=True)
    results.append(_run_file(crate, run + "\n"))
    action = _add_run(crate, facts, finished=(study.root / "provenance.json").stat().st_mtime)
    action["result"] = results
    if author:
        crate.root_dataset["author"] = action["agent"] = _person(crate, author)
    out.parent.mkdir(parents=True, exist_ok=True)
    crate.write_zip(out) if out.suffix == ".zip" else crate.write(out)
    return out


def _described(path: Path) -> dict[str, object]:
    kind = _KINDS.get(path.suffix, "application/octet-stream")
    what = "Data dictionary of" if path.suffix == ".json" else "Table"
    name = "Report" if path.suffix == ".html" else f"{what} {path.stem}"
    return {"name": name, "encodingFormat": kind, "contentSize": str(path.stat().st_size)}


def _run_file(crate: ROCrate, text: str) -> Any:
    return crate.add_file(
        StringIO(text),
        "run.json",
        properties={
            "name": "Versions, model, seed and stages of the run",
            "encodingFormat": "application/json",
        },
    )


def _add_run(crate: ROCrate, facts: Provenance, *, finished: float) -> Any:
    """Add the workflow, Snakemake and the action that made the results; return the action."""
    from rocrate.model.softwareapplication import SoftwareApplication

    folder = workflow_folder()
    version = facts["popscan"]
    workflow = crate.add_workflow(
        folder / "Snakefile",
        "Snakefile",
        main=True,
        lang="snakemake",
        properties={
            "name": f"popscan {version}",
            "version": version,
            "encodingFormat": "text/x-python",
        },
    )
    # Not the profiles: a lab writes its accounts and partitions there.
    workflow["hasPart"] = [
        crate.add_file(
            path,
            path.relative_to(folder).as_posix(),
            properties={"name": f"Rules: {path.stem}", "encodingFormat": "text/x-python"},
        )
        for path in sorted((folder / "workflow").rglob("*.smk"))
    ]
    engine = crate.add(
        SoftwareApplication(
            crate,
            "https://snakemake.github.io",
            properties={
                "name": "Snakemake",
                "url": "https://snakemake.github.io",
                "softwareVersion": facts["packages"]["snakemake"],
            },
        )
    )
    ended = datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds")
    action = _entity(
        crate,
        "#run",
        "CreateAction",
        name=f"Run of popscan {version}",
        description="Snakemake ran the stages of popscan on the subjects of the study.",
        endTime=ended,
    )
    action["instrument"] = workflow
    organised = _entity(crate, "#engine-run", "OrganizeAction", name="Run of Snakemake")
    organised["instrument"] = engine
    organised["result"] = action
    crate.root_dataset["mentions"] = action
    return action


def _entity(crate: ROCrate, address: str, kind: str, **properties: str) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, address, properties={"@type": kind, **properties}))


def _profile(crate: ROCrate, address: str) -> Any:
    name, version = PROFILES[address]
    return _entity(crate, address, "CreativeWork", name=name, version=version)


def _licence(crate: ROCrate, licence: str) -> Any:
    address = licence if "://" in licence else f"https://spdx.org/licenses/{licence}"
    return _entity(crate, address, "CreativeWork", name=licence, url=address)


def _person(crate: ROCrate, address: str) -> Any:
    return _entity(crate, address, "Person", name=address)
