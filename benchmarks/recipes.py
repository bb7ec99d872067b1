"""What the fields of a recipe bring: same patients, same steps, several seeds, CPU time beside.

    python benchmarks/recipes.py --out results.jsonl [--part shapes ...] [--seeds 3] [--minutes 8]
    python benchmarks/recipes.py --out results.jsonl --table

Every run appends a line of JSON to ``--out`` and is not made again, so the benchmark may be stopped
at any moment and called again; ``--minutes`` begins no run after that time. Parts:

- ``shapes``: two simulated domains, bright discs and dark squares on a flat or a striped ground.
  Each domain's training labels lack one of the two. Dice of the lacking ones on unseen images.
- ``partial``: ACDC at 3 mm. Every second training patient shows another contrast (negative) and has
  the labels of the left ventricle alone. Dice on validation patients of that contrast.
- ``partial10``: the same with 10 training patients.
- ``wrong``: errors of three kinds painted into a share of the labelled training slices; Dice on
  validation patients, and the AUC with which loss and variance of gradients find the wrong slices.
- ``private``: a large and a small group of simulated images, trained on privately; epsilon, and
  Dice by group.
- ``suggest``: simulated images of a common and two rare kinds, some chosen by the rule of
  ``popscan suggest`` or at random and labelled; Dice of every kind.
- ``topology``: the share of label maps of ACDC in which augmentation changes a structure's number
  of pieces or holes, of those that stay wholly inside; no network is trained.
- ``refurbish``: the same with as many labels replaced half-way as are wrong; of right ones, too.
- ``wrong10``: ``wrong`` with 10 training patients.
- ``suspects``: all labels of a tenth of all labelled patients spoilt; the AUC with which
  ``popscan suspects`` finds these patients, and those that it names where nothing was spoilt
  (a table a seed, in the folder of the packs).
- ``fields``, ``fields10``: fields that recipes had before, whole labels, the patients as they are;
  Dice of them and in strong noise.

``--on shapes`` takes the simulated images of both domains, whole labels, in place of ACDC for
``wrong`` and ``fields`` (10 patients are then 10 images): seconds a run.

The network is small, so numbers compare fields and are no accuracy of popscan. Reads
``$POPSCAN_DATA/acdc`` (by default ``../shared/data/acdc``); the validation patients are those of
the shipped model's split, nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from popscan.train.augment import augment
from popscan.train.packs import INTENSITY_SCALE, Pack, build_pack
from popscan.train.recipe import parse_recipe
from popscan.train.topology import betti
from recipes_labels import REFURBISH, SUSPECTS, WRONG, run_suspects, run_wrong
from recipes_patients import SHAPES, Setting, packs_of, patients, small
from recipes_shared import STILL, Values, dice, shapes, tiny, trained
from recipes_simulated import PRIVATE_RUNS, SUGGEST, run_private, run_suggest

#: Variant -> what it makes of labels that are not there.
PARTIAL: dict[str, dict[str, Any]] = {
    "whole labels (bound)": {},
    "background (naive)": {"missing": "background"},
    "ignored": {"missing": "ignored"},
    "ignored, dropout": {"missing": "ignored", "label_dropout": 0.5},
    "marginal": {"missing": "marginal"},
    "marginal, exclusive": {"missing": "marginal", "exclusive": 0.1},
    "marginal, dropout": {"missing": "marginal", "label_dropout": 0.5},
}
#: Variant -> fields of the recipe.
FIELDS: dict[str, dict[str, Any]] = {
    "dice_ce": {},
    "dice_focal": {"loss": "dice_focal"},
    "boundary": {"loss": "boundary"},
    "adversarial 0.3": {"adversarial": 0.3},
    "edge_weight 2": {"edge_weight": 2.0},
    "no augmentation": {"augmentation": STILL | {"flip": 0, "scale": [1, 1]}},
    "random convolutions 0.5": {"augmentation": {"random_convolution": 0.5}},
}

#: What makes a run another one.
_RUN = ("on", "part", "variant", "seed", "steps")


def run_shapes(variant: str, seed: int) -> Values:
    """Train on two domains with a structure each; score the other one."""
    lacking = {"flat": ["disc"], "striped": ["square"]}
    learning = {"annotated": lacking} | PARTIAL[variant] if PARTIAL[variant] else {}
    packs = {name: shapes(30, seed=10 + seed, flat=name == "flat") for name in lacking}
    network, cpu_s = trained(tiny(seed, learning=learning), packs)
    unseen = [(True, {"square": 2}), (False, {"disc": 1})]
    found = [dice(network, shapes(20, seed=99, flat=flat), labels) for flat, labels in unseen]
    return {"lacking": float(np.mean([v for f in found for v in f.values()])), "cpu_s": cpu_s}


def negative(pack: Pack) -> Pack:
    """Return the images in negative, between the same darkest and brightest values."""
    low, high = (np.quantile(pack.images, q) for q in (0.01, 0.99))
    images = np.clip(low + high - pack.images.astype(float), -(2**15), 2**15 - 1)
    return replace(pack, images=images.astype(np.int16))


def run_partial(variant: str, seed: int, at: Setting) -> Values:
    """Train on two contrasts, one with the labels of the left ventricle alone."""
    first, second, unseen = packs_of(at)
    learning = {"annotated": {"b": ["lv"]}} | PARTIAL[variant] if PARTIAL[variant] else {}
    recipe = small(at, seed, learning=learning, augmentation={"invert": 0, "remap": 0})
    network, cpu_s = trained(recipe, {"a": first, "b": negative(second)})
    found = dice(network, negative(unseen), recipe.codes)
    own = dice(network, unseen, recipe.codes)
    lacking = (found["rv"] + found["myo"]) / 2
    rest = float(np.mean(list(own.values())))
    return {"lacking": lacking, "lv": found["lv"], "whole": rest, "cpu_s": cpu_s}


#: Variant -> what is done to label maps at which in-plane spacing, mm.
TOPOLOGY: dict[str, tuple[float, dict[str, Any]]] = {
    "as by default, 1.5 mm": (1.5, {}),
    "as by default, 3 mm": (3.0, {}),
    "no elastic, 1.5 mm": (1.5, {"elastic": 0}),
    "flips alone, 1.5 mm": (1.5, STILL | {"scale": [1, 1], "stretch": 0, "shear": 0}),
}


def run_topology(variant: str, seed: int, at: Setting) -> Values:
    """Augment label maps and count those whose pieces or holes are others than before."""
    spacing_mm, values = TOPOLOGY[variant]
    train, _ = patients(at.root)
    pack = build_pack(train[: at.n], spacing_mm=spacing_mm, size=round(300 / spacing_mm / 2) * 2)
    how = parse_recipe({"name": "topology", "augmentation": values}).augmentation
    begun = time.process_time()
    labels = torch.from_numpy(pack.labels)
    _, moved = augment(
        torch.zeros(labels.shape)[:, None], labels, how=how, patch=labels.shape[-1],
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    pairs = [(a, b) for a, b in zip(pack.labels, moved.numpy(), strict=True) if a.any()]
    whole = [(a, b) for a, b in pairs if not (b[[0, -1]].any() or b[:, [0, -1]].any())]
    broken = [[betti(a == k) != betti(b == k) for k in (1, 2, 3)] for a, b in whole]
    shares = np.mean(broken, axis=0)
    return {
        "broken": float(np.any(broken, axis=1).mean()), "rv": float(shares[0]),
        "myo": float(shares[1]), "lv": float(shares[2]), "maps": len(whole),
        "cpu_s": time.process_time() - begun,
    }  # fmt: skip


def run_fields(variant: str, seed: int, at: Setting) -> Values:
    """Train with other fields of the recipe on whole labels."""
    first, second, unseen = packs_of(at)
    recipe = small(at, seed, **({"augmentation": {}} | FIELDS[variant]))
    network, cpu_s = trained(recipe, {"a": first, "b": second})
    noise = np.random.default_rng(5).normal(size=unseen.images.shape) * 0.3 * INTENSITY_SCALE
    noisy = np.clip(unseen.images + noise, -(2**15), 2**15 - 1).astype(np.int16)
    found = dice(network, unseen, recipe.codes)
    hard = dice(network, replace(unseen, images=noisy), recipe.codes)
    mean, harder = (float(np.mean(list(v.values()))) for v in (found, hard))
    return {"dice": mean, "in_noise": harder, "cpu_s": cpu_s}


def parts_of(arguments: argparse.Namespace) -> dict[str, tuple[list[str], Callable[..., Values]]]:
    """Return part -> its variants, and what runs one."""
    default = Path(
        os.environ.get("POPSCAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
    )
    root, kept = (arguments.data or default) / arguments.on, arguments.out.with_suffix(".packs")

    def on(run: Callable[..., Values], n: int) -> Callable[..., Values]:
        at = Setting(root, kept, n, arguments.steps)
        return lambda variant, seed: run(variant, seed, at)

    return {
        "shapes": (list(PARTIAL), run_shapes),
        "partial": (list(PARTIAL), on(run_partial, 0)),
        "partial10": (list(PARTIAL), on(run_partial, 10)),
        "wrong": (WRONG, on(run_wrong, 0)),
        "refurbish": (REFURBISH, on(run_wrong, 0)),
        "wrong10": (WRONG, on(run_wrong, 10)),
        "suspects": (SUSPECTS, on(run_suspects, 0)),
        "private": (PRIVATE_RUNS, run_private),
        "suggest": (SUGGEST, run_suggest),
        "topology": (list(TOPOLOGY), on(run_topology, 10)),
        "fields": (list(FIELDS), on(run_fields, 0)),
        "fields10": (list(FIELDS), on(run_fields, 10)),
    }


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the runs that a file holds; none where it is absent.

    What a killed run left behind the last whole line is cut off.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print mean and, behind it, lowest to highest of the seeds."""
    for part in dict.fromkeys(row["part"] for row in rows):
        own = [row for row in rows if row["part"] == part]
        names = list(own[0]["values"])
        print(f"\n{part}\n{'':26s}" + "".join(f"{name:>24s}" for name in names) + "   seeds")
        for variant in dict.fromkeys(row["variant"] for row in own):
            runs = [row["values"] for row in own if row["variant"] == variant]
            cells = ""
            for name in names:
                v = [run[name] for run in runs]
                cells += f"{np.mean(v):8.3f} ({min(v):.3f} to {max(v):.3f})".rjust(24)
            print(f"{variant:26s}{cells}{len(runs):8d}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="lines of JSON, one a run")
    parser.add_argument("--part", action="append", help="default: all of them")
    parser.add_argument("--variant", action="append", help="of the parts; default: all of them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600, help="of the runs on ACDC")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after these")
    parser.add_argument("--data", type=Path, help="folder that holds acdc/")
    parser.add_argument("--on", choices=("acdc", SHAPES), default="acdc", help="whose images")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts, begun = parts_of(arguments), time.monotonic()
    done = {tuple(r[key] for key in _RUN) for r in read_lines(arguments.out)}
    todo = [
        (part, variant, seed)
        for seed in range(arguments.seeds)
        for part in (arguments.part or list(parts))
        for variant in parts[part][0]
        if (arguments.on, part, variant, seed, arguments.steps) not in done
        and variant in (arguments.variant or [variant])
    ]
    if todo and not arguments.table:
        trained(tiny(0, steps=1), {"warm": shapes(12, seed=0, flat=True)})  # Imports cost, too.
    for part, variant, seed in [] if arguments.table else todo:
        if time.monotonic() - begun > 60 * arguments.minutes:
            print(f"stopped after {arguments.minutes:g} minutes; call again", file=sys.stderr)
            break
        values = {k: round(v, 4) for k, v in parts[part][1](variant, seed).items()}
        row = dict(zip(_RUN, (arguments.on, part, variant, seed, arguments.steps), strict=True))
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row | {"values": values}) + "\n")
        print(part, variant, seed, values, file=sys.stderr, flush=True)
    same = {"steps": arguments.steps, "on": arguments.on}
    print_table([r for r in read_lines(arguments.out) if same.items() <= r.items()])


if __name__ == "__main__":
    main()
