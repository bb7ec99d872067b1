"""Training: labelled scans to model bundles, by recipes that are data.

`train_bundle` is the whole way; its pieces are in the modules of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from popscan.train.kind import ModelKind
    from popscan.train.packs import Case, Pack
    from popscan.train.recipe import Recipe

__all__ = ["recipe_chain", "train_bundle", "train_weights"]


def recipe_chain(recipe: str | Path | Recipe) -> list[Recipe]:
    """Return a recipe and those it starts from (`init_from`), first one first.

    Raises
    ------
    PopscanError
        For an unknown recipe or a circle of them.
    """
    from popscan.records import PopscanError
    from popscan.train.recipe import Recipe, load_recipe

    chain = [recipe if isinstance(recipe, Recipe) else load_recipe(recipe)]
    while chain[0].init_from:
        chain.insert(0, load_recipe(chain[0].init_from))
        if chain[0].name in [r.name for r in chain[1:]]:
            raise PopscanError(f"recipe {chain[0].name!r} starts from itself")
    return chain


def train_weights(
    recipe: str | Path | Recipe,
    packs: Mapping[str, Pack],
    work: Path,
    *,
    validation: Sequence[Case] = (),
    kind: ModelKind | None = None,
    quiet: bool = False,
) -> dict[str, torch.Tensor]:
    """Train a recipe and those it starts from; return the averaged weights of the last.

    Each works in ``work/<recipe name>`` and goes on from its checkpoint where there is one, so
    calling this again after an interruption loses nothing. The learning curve is drawn there.
    Without a `kind` that scores, there is no validation in between.
    """
    from popscan.train.curves import draw_curve
    from popscan.train.evaluate import validator
    from popscan.train.loop import fit

    weights: dict[str, torch.Tensor] | None = None
    for step in recipe_chain(recipe):
        folder = work / step.name
        score = kind.score if kind is not None and validation else None
        validate = None if score is None else validator(step, validation, score=score)
        state = fit(step, packs, folder, validate=validate, init=weights, quiet=quiet)
        draw_curve(folder)
        weights = blended(state.averaged.state_dict(), weights, share=step.blend)
    assert weights is not None
    return weights


def blended(
    new: dict[str, torch.Tensor], old: dict[str, torch.Tensor] | None, *, share: float
) -> dict[str, torch.Tensor]:
    """Return ``share`` of new weights and the rest of those that the training started from."""
    if old is None or share == 1:
        return new
    return {name: share * value + (1 - share) * old[name] for name, value in new.items()}


def with_painted(
    cases: Mapping[str, Sequence[Case]],
    chains: Sequence[Sequence[Recipe]],
    *,
    painters: Mapping[str, Callable[[Sequence[Case]], list[Case]]],
) -> dict[str, Sequence[Case]]:
    """Return the cases with those of the packs that recipes want with something painted."""
    wanted = {name for chain in chains for step in chain for name in step.shares}
    whole = dict(cases)
    for name in sorted(wanted - set(cases)):
        base, plus, what = name.rpartition("+")
        if base in cases and plus + what in painters:
            whole[name] = painters[plus + what](cases[base])
    return whole


def train_bundle(
    recipe: str | Path | Recipe | Sequence[str | Path | Recipe],
    *,
    cases: Mapping[str, Sequence[Case]],
    validation: Sequence[Case],
    work: Path,
    out: Path,
    name: str,
    notes: Mapping[str, str] | None = None,
    stratum: str = "group",
    kind: ModelKind | None = None,
    quiet: bool = False,
    **texts: Any,
) -> Path:
    """Train a model and write it as a bundle.

    Parameters
    ----------
    recipe
        Name of a shipped recipe, a file, or a `Recipe`; several make an ensemble.
    cases
        Pack name (as in the recipe's `shares`) -> labelled training scans. Where shares name
        ``PACK+SUFFIX``, the kind paints it of those of ``PACK``.
    validation
        Labelled scans of other subjects, for the scores in the bundle; nothing is chosen by them.
    work
        Folder for packs, checkpoints and learning curves; nothing in it is part of the result.
    out
        Folder of the bundle.
    name
        Its name.
    notes
        Pack name -> where the data are from, licence, citation.
    stratum
        Attribute by which the card lists scores; empty for none.
    kind
        How models of this kind are measured and described; None for those of the default protocol.
    quiet
        Print no progress.
    **texts
        ``salt``, ``summary``, ``limits``, ``reproduce``, ``name_validation`` of
        `popscan.train.export.export_bundle`.

    Returns
    -------
    `out`.

    Raises
    ------
    PopscanError
        For an unknown recipe, recipes of different spacing or with `planes`, a subject in both
        training and validation, or a checkpoint in `work` that belongs to another recipe or other
        data.
    """
    from popscan.records import PopscanError
    from popscan.train.export import export_bundle
    from popscan.train.kind import kind_of
    from popscan.train.packs import build_pack
    from popscan.train.private import spent
    from popscan.train.recipe import Recipe

    kind = kind or kind_of()
    recipes = [recipe] if isinstance(recipe, str | Path | Recipe) else list(recipe)
    chains = [recipe_chain(r) for r in recipes]
    spent([step for chain in chains for step in chain])  # What cannot be stated is not trained.
    trained = {case.subject for group in cases.values() for case in group}
    if both := sorted(trained & {case.subject for case in validation}):
        raise PopscanError(f"in training and in validation: {', '.join(both)}")
    if cut := [step.name for chain in chains for step in chain if step.planes]:
        raise PopscanError(f"planes: scans are not cut into planes here: {', '.join(cut)}")
    spacings = {step.spacing_mm for chain in chains for step in chain}
    if len(spacings) > 1:
        listed = ", ".join(f"{s.name} {s.spacing_mm} mm" for chain in chains for s in chain)
        raise PopscanError(f"the members of a bundle share one spacing, these do not: {listed}")
    packs = {
        key: build_pack(group, spacing_mm=min(spacings))
        for key, group in with_painted(cases, chains, painters=kind.painters).items()
    }
    weights = [
        train_weights(r, packs, work, validation=validation, kind=kind, quiet=quiet)
        for r in recipes
    ]
    defaults = {"salt": name, "summary": "", "limits": (), "reproduce": ""}
    return export_bundle(
        out,
        name=name,
        chains=chains,
        weights=weights,
        packs=packs,
        cases=[case for group in cases.values() for case in group],
        validation=validation,
        notes=notes or {},
        stratum=stratum,
        kind=kind,
        **(defaults | texts),
    )
