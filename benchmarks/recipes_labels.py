"""What wrong labels cost, and what finds them (benchmarks/recipes.py)."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from popscan.train.label_errors import KINDS, spoil
from popscan.train.loop import fit
from popscan.train.snapshots import snapshots
from popscan.train.suspects import suspicion, suspicious_subjects
from recipes_patients import SPACING_MM, Setting, kept_packs, packs_of, small
from recipes_shared import STILL, Values, dice, joined

WRONG = ["none 0", *(f"{kind} {share}" for kind in KINDS for share in (10, 25, 50, 75))]
REFURBISH = [f"{kind} {share} mended" for kind in ("none", *KINDS) for share in (10, 25)]

#: Kind of error and its size in mm: of all labels of a tenth of the patients.
SUSPECTS = ["none", *(f"{kind} {mm}" for kind in ("wobble", "size") for mm in (3, 6)), "mistaken"]


def run_wrong(variant: str, seed: int, at: Setting) -> Values:
    """Train on spoilt labels; score the network, and what finds the spoilt ones."""
    first, second, unseen = packs_of(at)
    kind, percent, *mended = variant.split()
    learning: dict[str, Any] = {"snapshots": max(1, at.steps // 4)}
    if mended:
        share = int(percent) / 100
        learning |= {"refurbish": share, "refurbish_after": at.steps // 2}
    recipe = small(at, seed, learning=learning)
    whole = joined(first, second)
    wrong = np.zeros(len(whole), bool)
    if kind != "none":
        share = int(percent) / 100
        labels, wrong = spoil(whole.labels, kind=kind, share=share, seed=seed, pixels=2)
        whole = replace(whole, labels=labels)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        network = fit(recipe, {"p": whole}, Path(folder), quiet=True).averaged
        table = suspicion(recipe, whole, snapshots(Path(folder)))
    cpu_s = time.process_time() - begun
    labelled = (whole.labels > 0).any(axis=(1, 2)) | wrong
    found = {
        f"auc_{sign}": float(roc_auc_score(wrong[labelled], table[sign][labelled]))
        if wrong.any()
        else float("nan")
        for sign in ("loss", "gradients")
    }
    scores = dice(network, unseen, recipe.codes)
    return {"dice": float(np.mean(list(scores.values()))), **found, "cpu_s": cpu_s}


def run_suspects(variant: str, seed: int, at: Setting) -> Values:
    """Spoil all labels of a tenth of the patients; return how well `popscan suspects` names them.

    Where nothing is spoilt, its table is written beside the packs, one a seed.
    """
    first, second, unseen = kept_packs(at)
    kind, _, mm = variant.partition(" ")
    whole = joined(joined(first, second), unseen)
    wrong = np.zeros(len(whole), bool)
    if kind != "none":
        pixels = round(int(mm or 0) / SPACING_MM)
        labels, wrong = spoil(
            whole.labels, kind=kind, share=0.1, seed=seed, pixels=pixels, subjects=whole.unit
        )
        whole = replace(whole, labels=labels)
    recipe = small(
        at, seed, learning={"snapshots": max(1, at.steps // 4)},
        augmentation=STILL | {"scale": [1, 1]},
    )  # fmt: skip
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fit(recipe, {"p": whole}, Path(folder), quiet=True)
        table = suspicion(recipe, whole, snapshots(Path(folder)))
    kept = f"suspects-{variant.replace(' ', '-')}-{at.steps}-{seed}.tsv"
    table.assign(wrong=wrong).to_csv(at.kept / kept, sep="\t", index=False)
    found: Values = {}
    spoilt = set(whole.unit[wrong].tolist())
    for sign in ("loss", "gradients"):
        ordered = suspicious_subjects(table, by=sign)
        truth = [unit in spoilt for unit in ordered["unit"]]
        for over, name in (("visit", "visit_median"), ("slice", sign)):
            found[f"{sign}_{over}"] = (
                float(roc_auc_score(truth, ordered[name])) if spoilt else float("nan")
            )
    return {**found, "cpu_s": time.process_time() - begun}
