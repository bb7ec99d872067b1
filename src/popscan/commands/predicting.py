"""``popscan predict``: what a bundle that classifies or regresses says of a study's subjects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy import stats

from popscan.config import Config
from popscan.disk import write_atomic
from popscan.io.spreadsheet import tsv_text
from popscan.plan import read_shard
from popscan.records import PopscanError, Status, SubjectError
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.tables import study_shards

if TYPE_CHECKING:
    from popscan.segment.predictor import PredictorFacts


def predict_study(
    model: Path, config: Config, out: Path, *, device: str = "auto"
) -> tuple[int, list[str]]:
    """Write the table of predictions that ``fairness.predictions`` and ``popscan audit`` take.

    Parameters
    ----------
    model
        Folder of a bundle with ``task`` classify or regress.
    config
        Of the study, which has been run at least to its images (ingest, reconstruct).
    out
        TSV: ``participant_id``, ``session_id``, ``seen_in_training``; ``p_<class>`` of every class,
        or ``predicted`` with ``predicted_low`` and ``predicted_high``: 95% for new subjects, from
        the bundle's error on its validation subjects (empty where it has none).
    device
        Where the network is.

    Returns
    -------
    n : int
        Subjects with a prediction.
    left_out : list of str
        Subjects without one, each with the reason.

    Raises
    ------
    PopscanError
        If there is no such study or bundle, or no subject can be predicted.
    """
    from popscan.io.nifti import read_scan
    from popscan.segment.predictor import load_predictor, predict

    study_root = Path(config.study.results, config.study.name)
    if not (study_root / "plan").is_dir():
        raise PopscanError(f"{study_root}: no study with a plan; run it first")
    shards = study_shards(study_root)
    predictor = load_predictor(model, device)
    options = {"protocol": config.protocol}
    rows: list[dict[str, object]] = []
    left_out: list[str] = []
    for shard in shards:
        planned = {one.subject.unit: one for one in read_shard(study_root, shard)}
        context = ShardContext(
            store=Store(study_root), shard=shard, options=options, planned=planned
        )
        for one in planned.values():
            subject = one.subject
            try:
                stage = context.image_stage(subject)
                record = context.record(stage, subject)
                if record.status is not Status.OK:
                    raise SubjectError(record.reason or "no_images", f"{stage}: {record.status}")
                scan = read_scan(context.path(stage, subject, context.names.image(subject)))
                found = predict(scan, predictor)
            except SubjectError as error:
                left_out.append(f"{subject.unit}: {error}")
                continue
            row = {"participant_id": subject.sub, "session_id": subject.ses}
            row["seen_in_training"] = str(int(predictor.was_trained_on(subject.unit)))
            rows.append(row | _columns(found, predictor.facts))
    if not rows:
        raise PopscanError(f"{study_root}: no subject can be predicted: {'; '.join(left_out[:5])}")
    table = pd.DataFrame(rows)
    if not table["session_id"].any():
        table = table.drop(columns="session_id")
    write_atomic(out, tsv_text(table).encode())
    return len(table), left_out


def _columns(found: Mapping[str, float], facts: PredictorFacts) -> dict[str, object]:
    """Return probabilities, or the value with its interval, as cells."""
    if facts.task.task == "classify":
        return {f"p_{name}": f"{value:.6f}" for name, value in found.items()}
    value = found["value"]
    half = _half_width(facts)
    low, high = (
        ("", "") if not math.isfinite(half) else (f"{value - half:.6g}", f"{value + half:.6g}")
    )
    return {"predicted": f"{value:.6g}", "predicted_low": low, "predicted_high": high}


def _half_width(facts: PredictorFacts) -> float:
    """Return half a 95% prediction interval, after the error on n validation subjects."""
    error = facts.validation.get("rmse")
    if not isinstance(error, Mapping):
        return math.nan
    rmse, n = float(error.get("value", math.nan)), int(error.get("n", 0))
    if n < 2 or not math.isfinite(rmse):
        return math.nan
    return float(stats.t.ppf(0.975, n)) * rmse * math.sqrt(1 + 1 / n)
