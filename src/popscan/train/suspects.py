"""Which reference labels are suspicious: variance of gradients, and the loss, over a training.

A label that contradicts the others is learned late or never. Two signs per slice, each from the
networks of several moments of a training (snapshots):

- the *loss* of the label, averaged over the moments;
- the *variance of gradients*: of the gradient of the labelled structures' logits with respect to
  the image, per pixel over the moments (Agarwal et al., CVPR 2022, arXiv:2008.11600), its root
  averaged over the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

from popscan.records import PopscanError
from popscan.segment.networks import build_network
from popscan.train.packs import Pack
from popscan.train.recipe import Recipe
from popscan.train.sampler import Sampler

#: Signs, and what visits are ordered by.
SIGNS = ("loss", "gradients")
OVER = ("visit", "slice")


def _signs(
    network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return per slice the loss (n,) and the gradient (n, x, y) of the labelled logits."""
    seen = images.clone().requires_grad_(True)
    with torch.enable_grad():
        logits = network(seen)
        labelled = logits.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(labelled, seen)
    loss = F.cross_entropy(logits.detach(), labels, reduction="none")
    inside = near(labels)
    return (loss * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)), gradient[
        :, gradient.shape[1] // 2
    ]


def near(labels: torch.Tensor, reach: int = 4) -> torch.Tensor:
    """Return (n, x, y) 1 within `reach` pixels of a structure; everywhere if there is none."""
    inside = F.max_pool2d((labels > 0).float()[:, None], 2 * reach + 1, 1, reach)[:, 0]
    empty = ~(inside > 0).any(dim=2).any(dim=1)
    inside[empty] = 1.0
    return inside


def network_of(recipe: Recipe, path: Path) -> torch.nn.Module:
    """Return the network of a snapshot, its weights fixed.

    Raises
    ------
    PopscanError
        If the file cannot be read or is of another architecture.
    """
    network = build_network(recipe.architecture, recipe.n_labels, **recipe.architecture_arguments)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise PopscanError(f"{path}: not a snapshot of recipe {recipe.name!r} ({error})") from error
    return network.eval().requires_grad_(False)


def suspicion(
    recipe: Recipe, pack: Pack, paths: Sequence[Path], *, side: int = 0, batch: int = 32
) -> pd.DataFrame:
    """Return how suspicious the label map of every slice is.

    Parameters
    ----------
    recipe
        Of the training.
    pack
        Its slices, or others that it did not see.
    paths
        Its snapshots, two at least.
    side
        Side of the square in the middle of the slices that is looked at, in pixels: a multiple of
        the network's stride. 0 for the training patch.
    batch
        Slices at once.

    Returns
    -------
    DataFrame
        ``unit``, ``frame``, ``slice``, ``loss`` (mean over the snapshots, near the structures),
        ``gradients`` (root of the variance, mean near the structures) and ``labelled`` (whether
        the slice has any), in the pack's order.
    """
    sampler, parts = Sampler.of(recipe, {"pack": pack}), []
    low = (pack.images.shape[1] - (side or recipe.patch)) // 2
    square = slice(low, low + (side or recipe.patch))
    networks = [network_of(recipe, path) for path in paths]
    for rows in torch.arange(len(pack)).split(batch):
        images, labels = sampler.take(rows)
        images, labels = images[..., square, square], labels[:, square, square].long()
        signs = [_signs(network, images, labels) for network in networks]
        spread = torch.stack([gradient for _, gradient in signs]).var(dim=0).sqrt()
        inside = near(labels)
        mean = (spread * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2))
        parts.append(torch.stack([torch.stack([loss for loss, _ in signs]).mean(dim=0), mean], 1))
    found = torch.cat(parts).double().numpy()
    return pd.DataFrame(
        {"unit": pack.unit, "frame": pack.frame, "slice": pack.slice_index,
         "loss": found[:, 0], "gradients": found[:, 1],
         "labelled": (pack.labels > 0).any(axis=(1, 2))}
    )  # fmt: skip


def suspicious_subjects(
    table: pd.DataFrame, *, by: str = "loss", over: str = "visit"
) -> pd.DataFrame:
    """Return visits in order of suspicion, each with its most suspicious slice.

    Parameters
    ----------
    table
        As `suspicion` returns it.
    by
        The sign, ``loss`` or ``gradients``.
    over
        What visits are ordered by: ``visit``, the median over their labelled slices, which finds
        readers and conventions that differ, or ``slice``, their worst labelled slice. The slices at
        the ends of an organ are hard for every network, so that the worst of a right visit is
        often as bad as one that is wrong.

    Returns
    -------
    DataFrame
        ``unit``; ``frame``, ``slice`` of the worst slice, its sign `by` and ``times_median``: the
        sign over its median in all labelled slices; ``visit_median``: the visit's median;
        ``n_labelled``: its labelled slices. Visits without any come first, by their other slices,
        then those with a sign that is not a number. Empty for an empty table.

    Raises
    ------
    PopscanError
        For an unknown `by` or `over`.
    """
    if by not in SIGNS:
        raise PopscanError(f"signs are {' and '.join(SIGNS)}; found {by!r}")
    if over not in OVER:
        raise PopscanError(f"visits are ordered over {' or '.join(OVER)}; found {over!r}")
    # Slices without labels say how sure the network is of background: only where there are no
    # others.
    n_labelled = table.groupby("unit")["labelled"].sum().astype(int)
    seen = table[table["labelled"] | (table["unit"].map(n_labelled) == 0)]
    ordered = seen.sort_values(
        [by, "unit", "frame", "slice"], ascending=[False, True, True, True], na_position="first"
    )
    worst = ordered.drop_duplicates("unit")[["unit", "frame", "slice", by]]
    median = float(table.loc[table["labelled"], by].median())
    visits = seen.groupby("unit")[by].median().mask(seen[by].isna().groupby(seen["unit"]).any())
    worst = worst.assign(
        times_median=worst[by] / median if median else np.nan,
        visit_median=worst["unit"].map(visits),
        n_labelled=worst["unit"].map(n_labelled),
    )
    key = "visit_median" if over == "visit" else by
    worst = worst.assign(has=worst["n_labelled"] > 0).sort_values(
        ["has", key, "unit"], ascending=[True, False, True], na_position="first"
    )
    return worst.drop(columns="has").reset_index(drop=True)
