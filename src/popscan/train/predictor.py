"""Training of classifiers and regressions of subjects (diagnosis, age, sex) by the one trainer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popscan.fairness.design import AuditDesign
from popscan.fairness.prediction_outcomes import Prediction
from popscan.fairness.predictions import EVERYBODY, prediction_table
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment.known import hash_identifier
from popscan.segment.predictor import Predictor, load_predictor, predict, save_predictor
from popscan.train.curves import draw_curve
from popscan.train.export import recipe_as_yaml
from popscan.train.loop import fit
from popscan.train.packs import Case, build_pack
from popscan.train.recipe import Recipe, load_recipe
from popscan.train.recipe_checks import SEGMENTING
from popscan.train.targets import Target, find_target

#: Pixels of a pack beyond the patch, so that patches can be shifted and turned.
_SPARE = 32


def unlabelled_case(
    unit: str, scan: Scan, attributes: Mapping[str, str], *, frames: Sequence[int] = (0,)
) -> Case:
    """Return a scan without labels as a case: of these frames every slice is trained on."""
    labels = LabelMap(array=np.zeros(scan.array.shape, np.uint8), frames=tuple(frames))
    return Case(unit=unit, scan=scan, labels=labels, attributes=attributes)


def train_predictor(
    recipe: str | Path | Recipe,
    *,
    cases: Sequence[Case],
    validation: Sequence[Case],
    work: Path,
    out: Path,
    name: str,
    salt: str = "",
    quiet: bool = False,
) -> pd.DataFrame:
    """Train a model of an attribute of subjects and write it as a bundle.

    Parameters
    ----------
    recipe
        With ``task`` (classify, regress) and ``target``, an attribute of the cases.
    cases
        Training scans; their labels are not used, their labelled frames are what is seen.
    validation
        Scans of other subjects, for the scores in the bundle; nothing is chosen by them.
    work
        Folder of checkpoint and learning curve: called again, training goes on from there.
    out, name
        Folder and name of the bundle.
    salt
        Of the hashes of the training subjects.
    quiet
        Print no progress.

    Returns
    -------
    DataFrame
        Predictions of the validation subjects, as `predict_cases`.

    Raises
    ------
    PopscanError
        If the recipe is of another task, the target is no usable attribute, or a subject is in
        training and validation.
    """
    step = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if step.task in SEGMENTING:
        raise PopscanError(f"recipe {step.name!r} segments; expected task: classify or regress")
    if both := sorted({c.subject for c in cases} & {c.subject for c in validation}):
        raise PopscanError(f"in training and in validation: {', '.join(both)}")
    target = find_target(
        step.task, step.target, {c.subject: c.attributes.get(step.target, "") for c in cases}
    )
    pack = build_pack(
        cases, spacing_mm=step.spacing_mm, size=step.patch + _SPARE, around_labels=False
    )
    state = fit(step, {name: pack}, work / step.name, target=target, quiet=quiet)
    draw_curve(work / step.name)
    about: dict[str, Any] = {
        "name": name,
        "task": target.as_dict(),
        "members": [
            {"architecture": step.architecture, "arguments": dict(step.architecture_arguments)}
        ],
        "spacing_mm": step.spacing_mm,
        "patch": step.patch,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "trained_on": {
            "salt": salt or name,
            "sha256": sorted(hash_identifier(s, salt=salt or name) for s in pack.subjects),
        },
        "training": {
            "subjects": len(pack.subjects), "slices": len(pack), "recipe": recipe_as_yaml(step),
        },
        "validation": {},
    }  # fmt: skip
    weights = [state.averaged.state_dict()]
    save_predictor(out, about=about, weights=weights, card="")
    table = predict_cases(validation, predictor=load_predictor(out, "cpu"))
    about["validation"] = score_predictions(table, target)
    save_predictor(out, about=about, weights=weights, card=_card(about, target))
    return table


def predict_cases(cases: Iterable[Case], *, predictor: Predictor) -> pd.DataFrame:
    """Predict for every case.

    Returns
    -------
    DataFrame
        ``unit``, ``truth``, and ``p_<class>`` of every class or ``predicted``; the attributes of
        the cases behind them. Such a table is what ``popscan audit`` takes.
    """
    task, rows = predictor.facts.task, []
    for case in cases:
        found = predict(case.scan, predictor)
        named = {f"p_{key}": value for key, value in found.items()}
        scores = named if task.task == "classify" else {"predicted": found["value"]}
        rows.append(
            {"unit": case.unit, "truth": case.attributes.get(task.attribute, ""), **scores}
            | {k: v for k, v in case.attributes.items() if k != task.attribute}
        )
    return pd.DataFrame(rows)


def score_predictions(
    table: pd.DataFrame, target: Target, *, n_boot: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Score predictions, each measure with its 95% interval.

    Parameters
    ----------
    table
        As `predict_cases` returns it.
    target
        What was predicted.
    n_boot, seed
        Of the bootstrap.

    Returns
    -------
    dict
        Measure -> ``value``, ``ci_low``, ``ci_high``, ``n``: AUC, balanced accuracy, calibration
        error and slope; mean absolute error, bias, root mean square error, slope on the truth. Of
        more than two classes, each against the others: ``<class>_<measure>``.
    """
    if table.empty:
        return {}
    index = pd.Index(table["unit"].astype(str))
    texts = table["truth"].astype(str).to_numpy()
    numbers = np.array([target.number(text) for text in texts])
    predictions = []
    if target.task == "regress":
        truth = numbers * target.sd + target.mean
        predictions.append(
            Prediction(
                name="", kind="regression", truth=pd.Series(truth, index),
                score=pd.Series(table["predicted"].to_numpy(float), index),
            )
        )  # fmt: skip
    else:
        shown = target.classes[-1:] if len(target.classes) == 2 else target.classes
        for name in shown:
            truth = np.where(np.isnan(numbers), np.nan, texts == name)
            predictions.append(
                Prediction(
                    name=name if len(shown) > 1 else "", kind="classification",
                    truth=pd.Series(truth, index), threshold=1 / len(target.classes),
                    score=pd.Series(table[f"p_{name}"].to_numpy(float), index),
                )
            )  # fmt: skip
    design = AuditDesign(min_group=2, n_boot=n_boot, seed=seed)
    found = prediction_table(
        predictions, pd.DataFrame(index=index), attributes_to_test=[], design=design
    )
    scores: dict[str, dict[str, float]] = {}
    for _, row in found[found["group"] == EVERYBODY].iterrows():
        key = "_".join(filter(None, (row["prediction"], row["measure"])))
        scores[key] = {
            "value": round(float(row["value"]), 4), "ci_low": round(float(row["ci_low"]), 4),
            "ci_high": round(float(row["ci_high"]), 4), "n": int(row["n"]),
        }  # fmt: skip
    return scores


def _card(about: Mapping[str, Any], target: Target) -> str:
    """Write what people should know of the model."""
    what = (
        f"Classes: {', '.join(target.classes)}."
        if target.task == "classify"
        else f"Training subjects: mean {target.mean:.1f}, SD {target.sd:.1f}."
    )
    rows = [
        f"| {name} | {s['value']:.3f} | {s['ci_low']:.3f} to {s['ci_high']:.3f} | {s['n']} |"
        for name, s in about["validation"].items()
    ]
    training = about["training"]
    return "\n".join(
        [
            f"# {about['name']}",
            "",
            f"Predicts {target.attribute} ({target.task}) from the slices of a scan. {what}",
            "",
            f"Trained on {training['subjects']} subjects ({training['slices']} slices). Not a "
            "diagnostic device. A prediction of an attribute such as sex or age may rest on "
            "anything that is associated with it in the training data: audit it by group "
            "(`popscan audit`, docs/fairness.md).",
            "",
            "Validation on subjects that were not trained on; nothing was chosen by them:",
            "",
            "| measure | value | 95% interval | subjects |",
            "|---|---|---|---|",
            *(rows or ["| none | | | |"]),
            "",
        ]
    )
