"""From a finished training to a bundle: what it was trained on, how good it is, its card."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import torch

from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.segmentation.contrast import measure_input
from popscan.segment.bundle import hash_identifier, load_bundle, save_bundle, subject_of
from popscan.train.evaluate import mean_dice, score_cases, volume_errors
from popscan.train.known import store_detector, store_digests
from popscan.train.packs import Case, Pack
from popscan.train.private import spent
from popscan.train.recipe import Recipe

_TEMPLATE = Path(__file__).parent / "card.md.j2"


def _range(values: Sequence[float]) -> list[float]:
    return [round(min(values), 3), round(max(values), 3)]


def input_range(cases: Sequence[Case]) -> dict[str, list[float]]:
    """Return the range of what `measure_input` measures of the training scans.

    What is not known of any (contrast, where no case has both blood and muscle) is left out.
    """
    measured = [measure_input(c.scan, c.labels.array, c.labels.frames) for c in cases]
    columns = {k: [v for m in measured for v in m[k] if math.isfinite(v)] for k in measured[0]}
    return {name: _range(values) for name, values in columns.items() if values}


def _cohort(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Return attribute -> value -> number of training subjects."""
    names = sorted({name for case in cases for name in case.attributes})
    members = {
        name: {(c.subject, c.attributes.get(name, "unknown")) for c in cases} for name in names
    }
    return {
        name: dict(sorted(Counter(value for _, value in pairs).items()))
        for name, pairs in members.items()
    }


def _subjects(scores: pd.DataFrame) -> list[str]:
    """Return whose visits the score rows are of, sorted."""
    return sorted({subject_of(unit) for unit in scores["unit"]})


def summarise(
    scores: pd.DataFrame, *, stratum: str, salt: str, name_validation: bool = False
) -> dict[str, Any]:
    """Return a bundle's validation section from score rows: plain numbers, rounded.

    Their subjects are reported like the training subjects: their number, and salted hashes.

    Parameters
    ----------
    scores
        Rows of `score_cases`.
    stratum
        Attribute column by which scores are also given; the list is empty where there is none.
    salt
        For the hashed identifiers.
    name_validation
        Whether to list the identifiers themselves too (``subjects``).
    """
    subjects = _subjects(scores)
    by_structure = [
        {
            "structure": structure,
            "phase": phase,
            "dice_mean": round(float(part["dice"].mean()), 4),
            "dice_median": round(float(part["dice"].median()), 4),
            "dice_lowest": round(float(part["dice"].min()), 4),
            "hd95_mm": round(float(part["hd95_mm"].mean()), 2),
            "without_distance": int((part["hd95_mm"].isna() & part["dice"].notna()).sum()),
            "msd_mm": round(float(part["msd_mm"].mean()), 3),
        }
        for (structure, phase), part in scores.groupby(["structure", "phase"])
    ]
    by_stratum = [
        {"stratum": str(name), "subjects": len(_subjects(part))}
        | {"dice_mean": round(mean_dice(part), 4)}
        | {
            s: round(float(part.loc[part["structure"] == s, "dice"].mean()), 4)
            for s in STRUCTURES.values()
        }
        for name, part in (scores.groupby(stratum) if stratum in scores.columns else ())
    ]
    errors = volume_errors(scores)
    volumes = [
        {
            "quantity": name,
            "bias": round(float(errors[name].mean()), 2),
            "mean_absolute": round(float(errors[name].abs().mean()), 2),
        }
        for name in errors.columns
        if name != "unit"
    ]
    return {
        "n_subjects": len(subjects),
        "sha256": sorted(hash_identifier(subject, salt=salt) for subject in subjects),
        **({"subjects": subjects} if name_validation else {}),
        "mean_dice": round(mean_dice(scores), 4),
        "by_structure": by_structure,
        "by_stratum": by_stratum,
        "volumes": volumes,
    }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How models of one kind are measured and described.

    Attributes
    ----------
    measure
        ``(cases, *, bundle, flips, salt, stratum)`` -> sections of model.yaml, ``validation`` at
        least.
    ranges
        Training cases -> the bundle's ``input_range``.
    card
        Template of the card.
    """

    measure: Callable[..., dict[str, Any]]
    ranges: Callable[[Sequence[Case]], dict[str, list[float]]]
    card: Path


def _card(template: Path, about: Mapping[str, Any], **more: Any) -> str:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    text = environment.from_string(template.read_text(encoding="utf-8")).render(**about, **more)
    return text.rstrip() + "\n"


def export_bundle(
    out: Path,
    *,
    name: str,
    chains: Sequence[Sequence[Recipe]],
    weights: Sequence[Mapping[str, torch.Tensor]],
    packs: Mapping[str, Pack],
    cases: Sequence[Case],
    validation: Sequence[Case],
    notes: Mapping[str, str],
    salt: str,
    stratum: str,
    summary: str,
    limits: Sequence[str],
    reproduce: str,
    flips: bool = False,
    name_validation: bool = False,
    how: Evaluation | None = None,
) -> Path:
    """Write a bundle with scores of its own measured on the validation cases.

    The bundle is written, read back as a user would read it (float16 weights), scored, and
    written again with its scores.

    Parameters
    ----------
    out
        Folder of the bundle.
    name
        Its name.
    chains, weights
        Per member of the ensemble: the recipes it went through, and its final weights.
    packs, notes
        What it was trained on, and a sentence on each (source, licence, citation).
    cases
        Real training cases, for cohort composition and input range.
    validation
        Cases that took no part in training.
    salt
        For the hashed identifiers of the training and validation subjects.
    stratum
        Attribute by which scores are listed; empty for none.
    summary, limits, reproduce
        Text for the card.
    flips
        Whether scores are measured with mirrorings averaged.
    name_validation
        Whether bundle and card list the validation subjects by name: only for public data.
    how
        Measurements and card of models that are not of short-axis cines.

    Returns
    -------
    The folder.
    """
    private = spent([r for chain in chains for r in chain])
    # Who was trained on is what private training hides; the noise follows from the seed.
    trained = set() if private else {s for pack in packs.values() for s in pack.subjects}
    last = [chain[-1] for chain in chains]
    about: dict[str, Any] = {
        "name": name,
        "labels": last[0].codes,
        "members": [
            {"architecture": r.architecture, "arguments": dict(r.architecture_arguments)}
            for r in last
        ],
        "spacing_mm": last[0].spacing_mm,
        "patch": max(r.patch for r in last),
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": (how.ranges if how else input_range)(cases),
        "training": {
            "data": [
                {"pack": k, "subjects": len(p.subjects), "slices": len(p), "note": notes.get(k, "")}
                for k, p in packs.items()
            ],
            "cohort": _cohort(cases),
            "seeds": [] if private else [r.seed for chain in chains for r in chain],
            "steps": sum(r.steps for chain in chains for r in chain),
            "recipes": [recipe_as_yaml(r) for chain in chains for r in chain],
            **({"private": private} if private else {}),
        },
        "trained_on": {
            "salt": salt,
            "sha256": sorted(hash_identifier(subject, salt=salt) for subject in trained),
        },
        "validation": {},
    }
    save_bundle(out, about=about, weights=weights, card="")
    bundle = load_bundle(out, "cpu")
    if how:
        about |= how.measure(validation, bundle=bundle, flips=flips, salt=salt, stratum=stratum)
    else:
        scores = score_cases(validation, bundle=bundle, flips=flips)
        found = summarise(scores, stratum=stratum, salt=salt, name_validation=name_validation)
        about["validation"] = found | {"flips": flips}
    card = _card(
        how.card if how else _TEMPLATE,
        about,
        summary=summary,
        limits=limits,
        reproduce=reproduce,
        stratum=stratum,
        n_parameters=f"{sum(p.numel() for n in bundle.networks for p in n.parameters()):,}",
    )
    save_bundle(out, about=about, weights=weights, card=card)
    if private:
        return out
    store_digests(out, cases)
    if how is None:  # The detector of what is unlike the training scans is of cines.
        store_detector(out, cases)
    return out


def recipe_as_yaml(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as YAML can hold it (tuples as lists); of private ones not the seed."""

    def listed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: listed(v) for k, v in value.items()}
        return [listed(v) for v in value] if isinstance(value, tuple | list) else value

    plain: dict[str, Any] = listed(recipe.as_dict())
    if recipe.private.noise:
        del plain["seed"]
    return plain
