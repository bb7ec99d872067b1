"""A loss that knows how many pieces and holes each structure has (Clough et al. 2022).

Persistent homology of a probability map finds every piece and every hole from which threshold
to which it exists; bars that the anatomy has should be long, all others short. gudhi computes the
pairs, torch the gradient through the probabilities at their ends. J. R. Clough et al., TPAMI 2022,
doi:10.1109/TPAMI.2020.3013679; N. Byrne et al., IEEE TMI 2023, doi:10.1109/TMI.2022.3203309.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from popscan.records import PopscanError


def betti(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return pieces (8 neighbours) and holes of a mask (x, y).

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> betti(ring)
    (1, 1)
    """
    pieces = ndimage.label(mask, structure=np.ones((3, 3)))[1]
    holes = ndimage.label(np.pad(~mask, 1, constant_values=True))[1] - 1
    return int(pieces), int(holes)


def _pairs(
    values: NDArray[np.float32], least: float
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return per dimension the flat positions of birth and death of the bars above `least`."""
    try:
        import gudhi
    except ImportError as error:  # pragma: no cover - depends on the installation
        raise PopscanError(
            "the topology loss needs gudhi: pip install 'popscan[topology]'"
        ) from error

    # Superlevel sets: pieces appear at the largest probabilities. Pixels are the cubes' corners
    # of the dual, so that pixels touching at a corner are joined, as in `betti`.
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=1.0 - values)
    complex_.compute_persistence()
    regular, essential = complex_.cofaces_of_persistence_pairs()
    births, deaths = [], []
    for dimension in range(2):
        pairs = regular[dimension] if len(regular) > dimension else np.empty((0, 2), np.int64)
        flat = values.reshape(-1, order="F")
        length = flat[pairs[:, 0]] - flat[pairs[:, 1]]
        kept = pairs[length > least]
        birth, death = kept[:, 0], kept[:, 1]
        if len(essential) > dimension and len(essential[dimension]):
            # The first piece never dies: its bar ends at probability 0.
            birth = np.concatenate([birth, essential[dimension]])
            death = np.concatenate([death, np.full(len(essential[dimension]), -1)])
        births.append(birth.astype(np.int64))
        deaths.append(death.astype(np.int64))
    return births, deaths


def bars(probability: torch.Tensor, *, least: float = 0.01) -> list[torch.Tensor]:
    """Return the lengths of the bars of one probability map, pieces and holes, longest first.

    Parameters
    ----------
    probability
        Shape (x, y), values 0 to 1; gradients flow back to it.
    least
        Shorter bars are left out.

    Returns
    -------
    Two tensors: lengths of the bars of dimension 0 (pieces) and 1 (holes).

    Raises
    ------
    PopscanError
        If gudhi is not installed.
    """
    values = probability.detach().cpu().numpy().astype(np.float32)
    flat = probability.T.reshape(-1)  # gudhi counts with the first axis fastest
    lengths = []
    for birth, death in zip(*_pairs(values, least), strict=True):
        born = flat[torch.from_numpy(birth).to(flat.device)]
        at = torch.from_numpy(death).to(flat.device)
        died = torch.where(at >= 0, flat[at.clamp_min(0)], torch.zeros_like(born))
        lengths.append((born - died).sort(descending=True).values)
    return lengths


def topology(logits: torch.Tensor, labels: torch.Tensor, *, slices: int = 4) -> torch.Tensor:
    """Return how far the structures' pieces and holes are from those of the truth.

    Per structure and dimension: the sum over the expected bars of 1 - length^2 plus the sum over
    all others of length^2, averaged. Expected numbers are counted in the labels of each slice.

    Parameters
    ----------
    logits
        (n, label, x, y).
    labels
        (n, x, y).
    slices
        How many slices of the batch, from the first on: persistent homology is slow.
    """
    probabilities = logits.float().softmax(dim=1)
    terms = []
    for n in range(min(slices, len(logits))):
        for label in range(1, logits.shape[1]):
            truth = (labels[n] == label).cpu().numpy()
            for count, length in zip(betti(truth), bars(probabilities[n, label]), strict=True):
                expected, others = length[:count], length[count:]
                missing = float(count - len(expected))
                terms.append((1 - expected**2).sum() + missing + (others**2).sum())
    return torch.stack(terms).mean() if terms else logits.sum() * 0.0
