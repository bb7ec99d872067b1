"""Topology and shape codes: what they measure, and that training moves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError
from popscan.train.augmentation import Augmentation
from popscan.train.packs import Pack
from popscan.train.sampler import Sampler
from popscan.train.shape_code import SIDE, code_distance, load_encoder, train_shape_coder
from popscan.train.topology import betti

gudhi = pytest.importorskip("gudhi", reason="pip install 'popscan[topology]'")


def _ring(side: int = 32, *, centre: float = 16, outer: float = 11, inner: float = 6) -> np.ndarray:
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    r = np.hypot(x - centre, y - centre)
    labels = np.zeros((side, side), np.int64)
    labels[r < outer] = Label.MYO
    labels[r < inner] = Label.LV
    return labels


def test_pieces_and_holes():
    ring = _ring() == int(Label.MYO)
    assert betti(ring) == (1, 1)
    assert betti(np.zeros((4, 4), bool)) == (0, 0)
    two = np.zeros((9, 9), bool)
    two[1:3, 1:3] = two[5:8, 5:8] = True
    assert betti(two) == (2, 0)
    touching = np.zeros((4, 4), bool)
    touching[0, 0] = touching[1, 1] = True
    assert betti(touching) == (1, 0)


def test_bars_agree_with_gudhi_and_are_born_where_it_says(rng):
    from popscan.train.topology import bars

    values = rng.random((13, 9)).astype(np.float32)
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=1.0 - values)
    complex_.compute_persistence()
    for dimension, length in enumerate(bars(torch.from_numpy(values), least=0.0)):
        pairs = complex_.persistence_intervals_in_dimension(dimension)
        expected = np.sort(np.minimum(pairs[:, 1], 1.0) - pairs[:, 0])[::-1]
        np.testing.assert_allclose(length.numpy(), expected[expected > 0], atol=1e-6)


def test_bars_of_a_ring_and_a_speck():
    from popscan.train.topology import bars

    p = torch.from_numpy((_ring() == int(Label.MYO)).astype(np.float32)) * 0.9
    p[1, 1] = 0.4
    pieces, holes = bars(p)
    assert pieces.tolist() == pytest.approx([0.9, 0.4])
    assert holes.tolist() == pytest.approx([0.9])


def test_the_gradient_mends_a_broken_ring():
    """Descending the topology loss alone closes a gap and removes a speck."""
    from popscan.train.topology import topology

    labels = torch.from_numpy(_ring())[None]
    broken = labels.clone()
    broken[0, 14:18, 20:28] = int(Label.BACKGROUND)  # a gap in the ring ...
    broken[0, 1:3, 1:3] = int(Label.MYO)  # ... and a speck of it far away
    sure = torch.nn.functional.one_hot(broken, len(Label)).movedim(-1, 1).float() * 2.5
    logits = sure.clone().requires_grad_(True)

    def myo(x):
        return (x.argmax(dim=1)[0] == int(Label.MYO)).numpy()

    assert betti(myo(logits)) == (2, 0)
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(60):
        loss = topology(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert betti(myo(logits)) == (1, 1)


def _sampler(n: int = 12) -> Sampler:
    rng = np.random.default_rng(7)
    labels = np.stack(
        [
            _ring(96, centre=48, outer=rng.uniform(16, 30), inner=rng.uniform(6, 14))
            for _ in range(n)
        ]
    )
    pack = Pack(
        images=np.zeros((n, 96, 96), np.int16),
        labels=labels.astype(np.uint8),
        unit=np.array([f"s{k}" for k in range(n)]),
        frame=np.zeros(n, np.int32),
        slice_index=np.zeros(n, np.int32),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
    )
    return Sampler({"p": pack}, {})


def test_a_shape_coder_learns_and_tells_impossible_from_possible(tmp_path):
    path = tmp_path / "coder.safetensors"
    how = Augmentation(scale=(0.9, 1.1), shift_px=3.0, elastic=0.0)
    options = {"patch": 64, "n_labels": 4, "batch": 8, "augmentation": how}
    short = train_shape_coder(_sampler(), path, steps=10, **options)
    longer = train_shape_coder(_sampler(), path, steps=80, **options)
    assert longer < 0.7 * short
    labels = torch.from_numpy(_ring(64, centre=32, outer=20, inner=11))[None]
    same = torch.nn.functional.one_hot(labels, len(Label)).movedim(-1, 1).float() * 12
    odd = same.flip(2) * 0.5 + same.roll(14, dims=3) * 0.5
    near, far = (code_distance(x, labels, encoder=str(path)).item() for x in (same, odd))
    assert near < 0.05 * far


def test_a_file_that_is_no_coder(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(PopscanError, match="not a readable shape coder"):
        load_encoder(str(path))
    assert SIDE % 8 == 0
