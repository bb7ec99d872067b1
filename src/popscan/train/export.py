"""From a finished training to a bundle: what it was trained on, how good it is, its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch

from popscan.records import PopscanError
from popscan.segment.bundle import load_bundle, save_bundle
from popscan.segment.known import hash_identifier
from popscan.train.kind import ModelKind, kind_of
from popscan.train.known import store_detector, store_digests
from popscan.train.packs import Case, Pack
from popscan.train.private import spent
from popscan.train.recipe import Recipe


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


def _check_cases(cases: Sequence[Case], packs: Mapping[str, Pack]) -> None:
    """Refuse cases that are not all scans of the packs."""
    units = {unit for pack in packs.values() for unit in pack.units}
    if missing := sorted(units - {case.unit for case in cases}):
        raise PopscanError(
            f"digests of all {len(units)} training scans are stored in a bundle: no case for "
            f"{len(missing)} of them, such as {missing[0]}"
        )


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
    kind: ModelKind | None = None,
    detector_cases: Sequence[Case] | None = None,
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
        Training cases, for cohort composition, input range and digests.
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
    kind
        How models of this kind are measured and described; None for those of the default protocol.
    detector_cases
        Those that the detector of unlike scans is made of; None for `cases`.

    Returns
    -------
    The folder.

    Raises
    ------
    PopscanError
        If digests are stored and `cases` lacks a scan that is in `packs`: where digests decide,
        it would count as never seen.
    """
    kind = kind or kind_of()
    private = spent([r for chain in chains for r in chain])
    # Who was trained on is what private training hides; the noise follows from the seed.
    if kind.digests and not private:
        _check_cases(cases, packs)
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
        "input_range": kind.ranges(cases),
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
    about |= kind.measure(
        validation,
        bundle=bundle,
        flips=flips,
        salt=salt,
        stratum=stratum,
        name_validation=name_validation,
    )
    card = _card(
        kind.card,
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
    if kind.digests:
        store_digests(out, cases)
    if kind.segmenter is not None:
        store_detector(
            out, cases if detector_cases is None else detector_cases, segmenter=kind.segmenter
        )
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
