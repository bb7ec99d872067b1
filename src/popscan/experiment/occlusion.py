"""Which structures a classifier looks at: what it loses when one of them is filled in.

All voxels of a structure get its mean intensity over the training subjects, so that what is left of
it is its shape. The drop of the true class's logit says how much the prediction rested on its
intensities; of a large structure more can be lost than of a small one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from popscan.train.cubes import stacks_of_units
from popscan.train.packs import INTENSITY_SCALE, Pack
from popscan.train.slices import network_outputs
from popscan.train.targets import Target


def occlude(
    network: torch.nn.Module,
    seen: Pack,
    tested: Pack,
    *,
    target: Target,
    structures: Mapping[int, str],
    context: int,
) -> list[dict[str, Any]]:
    """Return one row per test subject and structure.

    Parameters
    ----------
    network
        Of two classes.
    seen, tested
        Training and test subjects, with their labels.
    target
        What is predicted.
    structures
        Label -> name.
    context
        Neighbours that the network sees on each side.

    Returns
    -------
    list of dict
        ``subject, input`` (occlusion), ``structure``, ``drop``: mean over all slices of the
        true class's logit less the other's, before minus after.
    """
    means = {code: _mean(seen, code) for code in structures}
    rows = []
    for name, own in stacks_of_units(tested).items():
        text = str(tested.attributes[target.attribute][own][0])
        if text not in target.classes:
            continue
        sign = 1.0 if text == target.classes[1] else -1.0
        images = torch.from_numpy(tested.images[own]).float() / INTENSITY_SCALE
        labels = torch.from_numpy(tested.labels[own])
        before = _margin(network_outputs(network, images, context=context))
        for code, structure in structures.items():
            hit = (labels == code).flatten(1).any(dim=1)
            if not bool(hit.any()) or not np.isfinite(means[code]):
                continue
            near = torch.nn.functional.max_pool1d(
                hit.float()[None, None], 2 * context + 1, stride=1, padding=context
            )
            changed = near[0, 0].nonzero()[:, 0]
            filled = torch.where(labels == code, means[code], images)
            after = network_outputs(network, filled, context=context, rows=changed.tolist())
            drop = (before[changed] - _margin(after)).sum() / len(images)
            row = {"subject": name, "input": "occlusion", "structure": structure}
            rows.append(row | {"drop": round(sign * float(drop), 6)})
    return rows


def _margin(outputs: torch.Tensor) -> torch.Tensor:
    return outputs[:, 1] - outputs[:, 0]


def _mean(pack: Pack, code: int) -> float:
    inside = pack.labels == code
    return float(pack.images[inside].mean()) / INTENSITY_SCALE if inside.any() else float("nan")
