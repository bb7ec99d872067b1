"""Cross-fitting: every patient segmented by a network that they had no part in.

A model's validation patients have mostly chosen something: a recipe, a moment to stop. Here the
labelled patients are divided into folds, and for every fold a network is trained on the others (and
on simulated hearts), by a recipe fixed beforehand. It starts from random weights, or from a network
that saw simulated hearts only, which all folds share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from popscan.protocols.cine_sax.training.crosstable import CrossFitted
from popscan.protocols.cine_sax.training.kind import KIND
from popscan.protocols.cine_sax.training.observe import SEVERITIES, Observed, observe, spoilt
from popscan.protocols.cine_sax.training.sections import calibration_section
from popscan.records import PopscanError
from popscan.segment.bundle import Bundle
from popscan.train import recipe_chain, with_painted
from popscan.train.evaluate import draft_bundle
from popscan.train.loop import fit
from popscan.train.packs import Case, build_pack
from popscan.train.recipe import Recipe


def divide(
    cases: Sequence[Case], *, folds: int, seed: int, stratum: str = "group"
) -> list[list[Case]]:
    """Return the cases in `folds` parts, subjects whole, every stratum spread over all parts.

    Parameters
    ----------
    cases
        Labelled scans.
    folds
        Number of parts, at least two, and no more than there are subjects.
    seed
        Of the order in which subjects are dealt.
    stratum
        Attribute whose values are spread evenly.

    Raises
    ------
    PopscanError
        If there are fewer subjects than folds, or fewer than two folds.
    """
    strata = {case.subject: case.attributes.get(stratum, "") for case in cases}
    if not 2 <= folds <= len(strata):
        raise PopscanError(f"{len(strata)} subjects cannot be divided into {folds} folds")
    rng = np.random.default_rng(seed)
    order = rng.permutation(sorted(strata)).tolist()
    order.sort(key=strata.__getitem__)  # Stable: within a stratum the order stays random.
    part = {subject: place % folds for place, subject in enumerate(order)}
    return [[case for case in cases if part[case.subject] == fold] for fold in range(folds)]


def cross_fit(
    recipe: str | Path | Recipe,
    cases: Sequence[Case],
    *,
    name: str,
    others: Mapping[str, Sequence[Case]],
    folds: int,
    work: Path,
    seed: int = 2026,
    device: str = "cpu",
    quiet: bool = False,
) -> Iterator[tuple[list[Case], Bundle]]:
    """Yield per fold its cases and a network that was trained on all the other cases.

    Parameters
    ----------
    recipe
        A training from random weights, or one that starts from recipes whose ``shares`` name packs
        of `others` only: these are trained once.
    cases
        Labelled scans to divide; `name` is what the recipe calls their pack.
    name
        As in the recipe's ``shares``.
    others
        Further packs of the recipe, the same in every fold, with nobody of `cases`.
    folds, seed
        As for `divide`; the recipe's own seed is raised by the fold's number.
    work
        Folder of the checkpoints, from which an interrupted cross-fitting goes on.
    device
        Where networks are trained; they are yielded on the CPU.
    quiet
        Print no progress.

    Raises
    ------
    PopscanError
        If the recipe starts from one that has seen the patients, somebody of `cases` is in
        `others`, or the cases cannot be divided.
    """
    *starts, last = chain = recipe_chain(recipe)
    if seen := [s.name for s in starts if not s.shares or set(s.shares) - set(others)]:
        raise PopscanError(
            "cross-fitting trains from weights that no patient had a part in; recipe "
            f"{last.name!r} starts from {seen[0]!r}, which has seen some of the patients"
        )
    known = {case.subject for case in cases}
    if both := sorted(known & {case.subject for group in others.values() for case in group}):
        raise PopscanError(f"in the folds and in another pack: {', '.join(both[:5])}")
    spacing_mm = last.spacing_mm
    fixed = {key: build_pack(group, spacing_mm=spacing_mm) for key, group in others.items()}
    init: dict[str, torch.Tensor] | None = None
    for step in starts:
        shared = fit(step, fixed, work / step.name, init=init, device=device, quiet=quiet)
        init = shared.averaged.state_dict()
    for fold, held in enumerate(divide(cases, folds=folds, seed=seed)):
        out = {case.subject for case in held}
        rest = [case for case in cases if case.subject not in out]
        packs = {
            key: build_pack(group, spacing_mm=spacing_mm)
            for key, group in with_painted(
                {name: rest}, [chain[-1:]], painters=KIND.painters
            ).items()
        }
        own = replace(last, seed=last.seed + fold)
        folder = work / f"{own.name}_{fold + 1}_of_{folds}"
        state = fit(own, fixed | packs, folder, init=init, device=device, quiet=quiet)
        yield held, draft_bundle(own, state.averaged.cpu())


def observe_folds(
    folds: Iterable[tuple[Sequence[Case], Bundle]],
    *,
    recipe: str,
    severities: Sequence[int] = SEVERITIES,
    voxels: int = 40_000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> CrossFitted:
    """Return what the networks of all folds make of the patients that they never saw.

    Probabilities have a temperature per fold, fitted on its clean scans.

    Parameters
    ----------
    folds
        As `cross_fit` yields them.
    recipe
        What was trained, in words, for the bundle that is calibrated from it.
    severities
        Of the corruptions: every patient is spoilt once by each, at one of these in turn; empty
        for none.
    voxels, seed
        As in `popscan.protocols.cine_sax.training.observe.observe`.
    progress
        Is called with each patient that is done.
    """
    seen: list[Observed] = []
    part: list[int] = []
    for fold, (held, bundle) in enumerate(folds):
        raw = [observe(case, bundle=bundle, voxels=voxels, seed=seed) for case in held]
        about = {**bundle.about, "calibration": calibration_section(raw)}
        warm = replace(bundle, about=about)
        if severities:
            own = spoilt(held, bundle=warm, severities=severities, seed=seed, progress=progress)
        else:
            own = [observe(case, bundle=warm) for case in held]
        seen += own
        part += [fold] * len(own)
    return CrossFitted(seen=tuple(seen), fold=tuple(part), recipe=recipe)
