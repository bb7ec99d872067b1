"""An experiment on disk: its trials, its tables and its page.

All of it lies in ``results/<study>/experiment``. Subjects and trials are run by the same runner as
everything else: each has one record with a status and a reason, a failure stays its own, and what
is up to date is kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.experiment import design
from popscan.experiment.design import VERSION, Trial
from popscan.plan import Planned
from popscan.records import Outcome, PopscanError, Record, Status, Subject, SubjectError
from popscan.run import Limits, run_shard
from popscan.stages.experiment.data import folder
from popscan.store import Store
from popscan.worker import Task

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
    key = hashlib.sha256(json.dumps([used, sets["digest"]], sort_keys=True).encode()).hexdigest()
    work = root / "work" / name

    def do(subject: Subject, _: None) -> Outcome:
        return _trial_outcome(
            root, section, trial, training, sets["test"], work / key[:16], options, threads
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
    training: Mapping[str, Sequence[str]],
    test: Mapping[str, Sequence[str]],
    work: Path,
    options: Mapping[str, Any],
    threads: int,
) -> Outcome:
    import torch

    from popscan.experiment.trial import run_trial
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
    try:
        found = run_trial(
            pack,
            section,
            trial,
            training=training,
            test=test,
            work=work,
            device=device,
            quiet=False,
        )
    except SubjectError:
        raise
    except PopscanError as error:
        raise SubjectError("bad_recipe", str(error)) from error
    values = trial.as_dict() | found.values | {"device": device}
    files = {}
    if section["keep_weights"]:
        files = {f"{name}.safetensors": tensors for name, tensors in found.weights.items()}
    return Outcome(files=files, values=values, rows=tuple(found.rows))


def _write_weights(path: Path, tensors: Any) -> None:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


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
            rows.append(about | {key: record[key] for key in keys})
    return pd.DataFrame(rows)


def write_results(study_root: Path, options: Mapping[str, Any]) -> Path:
    """Write the experiment's tables and its page; return the page.

    Trials that failed are told, with how many of how many ended well.
    """
    import yaml

    from popscan.experiment.dictionary import dictionary
    from popscan.experiment.page import write_experiment_page
    from popscan.experiment.results import results
    from popscan.study.tables import write_table

    section, root = options["experiment"], folder(study_root)
    sets = json.loads((root / "split.json").read_text())
    baseline = design.baseline(section["mitigations"])
    tables = results(
        trial_records(study_root, section),
        groups=section["groups"],
        mitigations=list(section["mitigations"]),
        baseline=baseline,
        seed=int(options["study"]["seed"]),
    )
    for name, table in tables.items():
        write_table(root, name, table, dictionary())
    return write_experiment_page(
        root / "index.html",
        tables,
        name=study_root.name,
        section=section,
        baseline=baseline,
        config=yaml.safe_dump({"experiment": dict(section)}, sort_keys=False),
        left_out=int(sets.get("left_out", 0)),
    )
