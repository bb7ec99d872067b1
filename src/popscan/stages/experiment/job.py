"""An experiment on disk: its trials, its tables and its page.

All of it lies in ``results/<study>/experiment``. Subjects and trials are run by the same runner as
everything else: each has one record with a status and a reason, a failure stays its own, and what
is up to date is kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from popscan.experiment import design
from popscan.experiment.design import VERSION, Trial
from popscan.experiment.subjects import Units
from popscan.plan import Planned
from popscan.records import Outcome, PopscanError, Record, Status, Subject, SubjectError
from popscan.run import Limits, run_shard
from popscan.stages.experiment.data import folder
from popscan.store import Store
from popscan.task import Task

if TYPE_CHECKING:
    import torch

#: Name of the runner's stage.
TRIAL = "experiment_trial"


def run_trial_job(
    study_root: Path, name: str, options: Mapping[str, Any], *, threads: int = 1
) -> Record:
    """Do one trial, or keep it if it is up to date; a trial that failed is tried again.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    name
        Of the trial.
    options
        ``experiment`` as of `popscan.experiment.design.trial_section`, and ``device``.
    threads
        Threads of the numerics.

    Returns
    -------
    Record
        Of the trial, also where it failed: the other trials go on.
    """
    store, root = Store(folder(study_root)), folder(study_root)
    section = options["experiment"]
    trial = Trial(**section["trial"])
    sets = json.loads((root / "split.json").read_text(encoding="utf-8"))
    training = design.training_subjects(
        sets["pool"],
        section["groups"],
        share_pct=trial.share_pct,
        n_train=section["n_train"],
        seed=trial.seed,
    )
    used = {"experiment": section, "training": training, "test": sets["test"]}
    held_out: dict[str, list[str]] = {}
    if section.get("n_held_out"):
        held_out = used["held_out"] = design.held_out_subjects(
            sets["pool"],
            section["groups"],
            share_pct=trial.share_pct,
            n_train=section["n_train"],
            n_held_out=section["n_held_out"],
            seed=trial.seed,
        )
    subjects = {"training": training, "held_out": held_out, "test": sets["test"]}
    key = hashlib.sha256(json.dumps([used, sets["digest"]], sort_keys=True).encode()).hexdigest()
    work = root / "work" / name

    def do(subject: Subject, _: None) -> Outcome:
        return _trial_outcome(
            root, section, trial, subjects, work=work / key[:16], options=options, threads=threads
        )

    task = Task(
        stage=TRIAL,
        version=VERSION,
        options=used,
        reads=lambda subject: {"pack": sets["digest"]},
        load=lambda subject: None,
        work=do,
        write=_write_weights,
    )
    _forget_failure(store, name)
    planned = [Planned(subject=Subject(sub=name))]
    limits = Limits(max_failed_fraction=1.0, max_failed_min=2)
    record = run_shard(store, task, name, planned, limits=limits, patience_s=3600.0).records[0]
    if record.status is Status.OK:
        shutil.rmtree(work, ignore_errors=True)
    return record


def _forget_failure(store: Store, name: str) -> None:
    journal = store.journal(TRIAL, name)
    old = journal.read().records.get(name)
    if old is not None and old.status is Status.FAILED:
        with journal.writer() as writer:
            writer.forget(name)


def _trial_outcome(
    root: Path,
    section: Mapping[str, Any],
    trial: Trial,
    subjects: Mapping[str, Units],
    *,
    work: Path,
    options: Mapping[str, Any],
    threads: int,
) -> Outcome:
    import torch

    from popscan.experiment.predicted import run_predicting
    from popscan.experiment.trial import run_trial, trial_recipe
    from popscan.train.packs import read_pack

    torch.set_num_threads(threads)
    device = options["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if work.parent.exists():
        # Checkpoints of the same trial as another config had it.
        for other in work.parent.iterdir():
            if other != work:
                shutil.rmtree(other)
    pack = read_pack(root / "pack.npz")
    training, test = subjects["training"], subjects["test"]
    given: dict[str, Any] = {"work": work, "device": device, "quiet": False}
    try:
        if trial_recipe(section, trial).task == "segment":
            found = run_trial(pack, section, trial, training=training, test=test, **given)
        else:
            held_out = subjects["held_out"]
            given |= {"training": training, "held_out": held_out, "test": test}
            found = run_predicting(pack, section, trial, **given)
    except SubjectError:
        raise
    except PopscanError as error:
        raise SubjectError("bad_recipe", str(error)) from error
    values = trial.as_dict() | found.values | {"device": device}
    files = {}
    if section["keep_weights"]:
        files = {f"{name}.safetensors": tensors for name, tensors in found.weights.items()}
    return Outcome(files=files, values=values, rows=tuple(found.rows))


def _write_weights(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


def recipe_task(shared: str | Mapping[str, Any]) -> str:
    """Return what the trainings of an experiment learn: segment, classify or reconstruct."""
    from popscan.train.recipe import load_recipe

    return load_recipe(shared).task if isinstance(shared, str) else shared.get("task", "segment")


def trial_records(study_root: Path, section: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per trial of the grid: the trial, its record, and its scores' rows.

    A trial without a record yet has the status ``missing``.
    """
    store = Store(folder(study_root))
    rows = []
    for trial in design.trials(section):
        record = next(iter(store.read_manifest(TRIAL, trial.name)), None)
        about = {"trial": trial.name, **trial.as_dict()}
        if record is None:
            blank = {"status": "missing", "reason": "", "message": "", "seconds": np.nan}
            rows.append(about | blank | {"peak_mb": np.nan, "values": {}, "rows": []})
        else:
            keys = ("status", "reason", "message", "seconds", "peak_mb", "values", "rows")
            plain: Mapping[str, object] = record
            rows.append(about | {key: plain[key] for key in keys})
    return pd.DataFrame(rows)


def write_results(study_root: Path, options: Mapping[str, Any]) -> Path:
    """Write the experiment's tables and its page; return the page.

    Trials that failed are reported, with how many of how many ended well.
    """
    import yaml

    from popscan.experiment.dictionary import dictionary
    from popscan.experiment.page import write_experiment_page
    from popscan.experiment.predicted_page import write_predicted_page
    from popscan.experiment.predicted_results import predicted_results
    from popscan.experiment.results import results
    from popscan.study.tables import write_table

    section, root = options["experiment"], folder(study_root)
    sets = json.loads((root / "split.json").read_text())
    baseline = design.baseline(section["mitigations"])
    records, seed = trial_records(study_root, section), int(options["study"]["seed"])
    config = yaml.safe_dump({"experiment": dict(section)}, sort_keys=False)
    about: dict[str, Any] = {"name": study_root.name, "section": section, "config": config}
    about["left_out"] = int(sets.get("left_out", 0))
    segments = recipe_task(section["recipe"]) == "segment"
    if segments:
        tables = results(
            records,
            groups=section["groups"],
            mitigations=list(section["mitigations"]),
            baseline=baseline,
            seed=seed,
        )
    else:
        tables = predicted_results(records, section, seed=seed)
    for name, table in tables.items():
        write_table(root, name, table, dictionary(section["audit"]))
    if segments:
        return write_experiment_page(root / "index.html", tables, baseline=baseline, **about)
    return write_predicted_page(root / "index.html", tables, **about)
