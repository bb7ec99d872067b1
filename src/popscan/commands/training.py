"""Train a model bundle from labelled scans of any source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popscan.disk import write_atomic
from popscan.records import LabelMap, PopscanError, SubjectError

if TYPE_CHECKING:
    from popscan.train.packs import Case


def labelled_cases(
    kind: str, root: Path, *, stratify: str = "", protocol_name: str = "", unlabelled: bool = False
) -> tuple[list[Case], list[str]]:
    """Load every labelled scan of a source.

    Parameters
    ----------
    kind, root
        Source kind (``acdc``, ``bids``) and its folder.
    stratify
        A fact that the source gives for each subject (ACDC's ``group``); empty for none.
    protocol_name
        Whose view is read; empty for the default protocol.
    unlabelled
        Whether reference labels are left alone: every case has empty ones then.

    Returns
    -------
    cases : list of Case
        In order of the subjects and their visits.
    left_out : list of str
        Who could not be used, each with the reason.
    """
    from popscan.ingest import prepare
    from popscan.io import get_source
    from popscan.io.references import usable_references
    from popscan.protocols import DEFAULT, get_protocol
    from popscan.train.packs import Case

    protocol = get_protocol(protocol_name or DEFAULT)
    view, source = protocol.view, get_source(kind, protocol)
    cases: list[Case] = []
    left_out: list[str] = []
    for found in source.find(root, problems=left_out):
        visit = f"{found.sub}_{found.ses}" if found.ses else found.sub
        try:
            loaded = source.load(found.paths, views=[view])
            usable: dict[str, LabelMap] = {}
            if not unlabelled:
                usable, problems = usable_references(loaded, protocol=protocol)
                if view in problems:
                    raise problems[view]
            scan, labels, _ = prepare(protocol, loaded.scans[view], usable.get(view))
        except SubjectError as error:
            left_out.append(f"{visit}: {error}")
            continue
        if unlabelled:
            labels = LabelMap(array=np.zeros(scan.array.shape, np.uint8), frames=(0,))
        if labels is None:
            left_out.append(f"{visit}: no reference labels")
            continue
        attributes = {stratify: str(loaded.extra.get(stratify, "unknown"))} if stratify else {}
        unit = visit.removeprefix("sub-")
        cases.append(Case(unit=unit, scan=scan, labels=labels, attributes=attributes))
    return cases, left_out


def train_model(
    recipes: Sequence[str],
    *,
    kind: str,
    root: Path,
    work: Path,
    out: Path,
    n_validation: int,
    stratify: str = "",
    seed: int = 0,
) -> list[str]:
    """Train a bundle; called again after an interruption, it goes on from its checkpoint.

    A recipe that classifies or regresses predicts the fact `stratify` of the subjects; predictions
    of the validation subjects are written to ``work/validation.tsv``, as ``popscan audit`` reads
    them.

    Parameters
    ----------
    recipes
        Names of recipes in ``popscan/train/recipes`` or YAML files; several make an ensemble.
    kind, root, stratify
        As in `labelled_cases`.
    work
        Folder of checkpoints and learning curves.
    out
        Folder of the bundle.
    n_validation, seed
        Subjects kept out of training with all their visits, drawn with this seed, in the strata's
        proportions (a subject's stratum is that of the first visit).

    Returns
    -------
    list of str
        Who was left out, and why.

    Raises
    ------
    PopscanError
        If there are too few labelled subjects, or a recipe labels other structures than the default
        protocol.
    """
    from popscan.io.spreadsheet import tsv_text
    from popscan.protocols import DEFAULT, get_protocol
    from popscan.train import train_bundle
    from popscan.train.predictor import train_predictor
    from popscan.train.recipe import load_recipe
    from popscan.train.recipe_checks import SEGMENTING
    from popscan.train.split import stratified_split

    chosen = [load_recipe(name) for name in recipes]
    own = get_protocol(DEFAULT)
    for recipe in chosen:
        if recipe.task in SEGMENTING and tuple(recipe.labels) != tuple(own.network_codes):
            raise PopscanError(
                f"recipe {recipe.name!r}: labels {', '.join(recipe.labels)}: models of {own.name} "
                f"alone are trained here, whose labels are {', '.join(own.network_codes)}"
            )
    cases, left_out = labelled_cases(kind, root, stratify=stratify)
    strata: dict[str, str] = {}
    for case in cases:
        strata.setdefault(case.subject, case.attributes.get(stratify, "all"))
    if len(strata) <= n_validation:
        message = "; ".join(left_out[:5])
        raise PopscanError(
            f"{root}: {len(strata)} labelled subjects, more than {n_validation} are "
            f"needed ({message})"
        )
    _, kept_out = stratified_split(strata, n_validation=n_validation, seed=seed)
    held = set(kept_out)
    trained = [case for case in cases if case.subject not in held]
    validation = [case for case in cases if case.subject in held]
    if any(recipe.task not in SEGMENTING for recipe in chosen):
        if len(chosen) > 1:
            raise PopscanError("task classify or regress: one recipe is expected")
        table = train_predictor(
            chosen[0],
            cases=trained,
            validation=validation,
            work=work,
            out=out,
            name=out.name,
            salt=f"{out.name}-{seed}",
        )
        names = table.pop("unit").str.partition("_ses-")
        table.insert(0, "participant_id", "sub-" + names[0])
        table.insert(1, "session_id", ("ses-" + names[2]).where(names[2] != "", ""))
        write_atomic(work / "validation.tsv", tsv_text(table).encode())
        return left_out
    train_bundle(
        chosen,
        cases={kind: trained},
        validation=validation,
        work=work,
        out=out,
        name=out.name,
        stratum=stratify,
        salt=f"{out.name}-{seed}",
    )
    return left_out


def know_training_scans(
    model: Path,
    *,
    kind: str,
    root: Path,
    protocol_name: str,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[str, list[str]]:
    """Store in a bundle what identifies its training scans: digests and the detector.

    For protocols whose calibration is fitted while they are trained. Others than the training
    scans below `root` are judged, so that the answer says how many of them would be warned of.

    Parameters
    ----------
    model, kind, root, progress
        As in `calibrate_model`; labels are not read.
    protocol_name
        Of the bundle.

    Returns
    -------
    sentence, left_out
        As `calibrate_model`.
    """
    from popscan.protocol import load
    from popscan.protocols import get_protocol
    from popscan.segment import load_bundle
    from popscan.train.known import store_detector, store_digests

    part = get_protocol(protocol_name).segmentation
    segmenter = load(part.methods[part.method])
    cases, left_out = labelled_cases(kind, root, protocol_name=protocol_name, unlabelled=True)
    bundle = load_bundle(model, "cpu")
    known = [case for case in cases if bundle.recognise(case.unit, case.scan.array).seen]
    if not known:
        raise PopscanError(f"{root}: no scan there that {model} was trained on")
    progress(f"{len(known)} training subjects: features of the network")
    store_digests(model, known)
    kinds = store_detector(model, known, segmenter=segmenter)
    bundle, names = load_bundle(model, "cpu"), {case.unit for case in known}
    others = [case for case in cases if case.unit not in names]
    scores = {
        case.unit: float(segmenter(case.scan, bundle=bundle).values["ood_score"]) for case in others
    }
    warned = sum(score > 1 for score in scores.values())
    each = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
    sentence = (
        f"{model}: detector of {', '.join(kinds) or 'nothing (too few subjects)'} from "
        f"{len(known)} training subjects; {warned} of {len(others)} others above 1 ({each})"
    )
    return sentence, left_out


def calibrate_model(
    model: Path,
    *,
    kind: str,
    root: Path,
    dice: bool = True,
    cross_fitted: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[str, list[str]]:
    """Calibrate a bundle on every labelled subject that it was not trained on.

    Of those that it was trained on it keeps what identifies them (`popscan.train.known`).

    Parameters
    ----------
    model
        Folder of the bundle; its ``model.yaml`` is rewritten.
    kind, root
        As in `labelled_cases`.
    dice
        Whether expected Dice is fitted too: it takes most of the time.
    cross_fitted
        Folder of the tables of a cross-fitting: intervals, where the network decides between
        structures and expected Dice then rest on its patients, too.
    progress
        Called with each subject as it is done.

    Returns
    -------
    message : str
        What was found, in a sentence.
    left_out : list of str
        Who could not be used, each with the reason.
    """
    from popscan.segment import load_bundle
    from popscan.train.kind import kind_of

    kind_of_model = kind_of()
    cases, left_out = labelled_cases(kind, root)
    bundle = load_bundle(model, "cpu")
    trained = [case for case in cases if bundle.recognise(case.unit, case.scan.array).seen]
    seen = [case.unit for case in trained]
    if seen:
        some = ", ".join(seen[:3]) + (", ..." if len(seen) > 3 else "")
        left_out.append(f"{len(seen)} subjects that the bundle was trained on: {some}")
    assert kind_of_model.calibrate is not None
    message = kind_of_model.calibrate(
        model,
        [case for case in cases if case.unit not in set(seen)],
        trained=trained,
        dice=dice,
        cross_fitted=cross_fitted,
        progress=progress,
    )
    return message, left_out
