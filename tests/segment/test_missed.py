"""How much of a chamber the network expects beyond its labels, at end-diastole and end-systole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.missed import DICTIONARY, missed_volumes
from popscan.segment.samples import Tally

N_SLICES = 2


def tally_of(probabilities: np.ndarray, labels: np.ndarray) -> Tally:
    """Sums of probabilities (x, y, z, t, label) over labels (x, y, z, t), per slice."""
    n_frames = labels.shape[3]
    expected = np.array(
        [
            [probabilities[:, :, z, t][labels[:, :, z, t] == k].sum(axis=0) for k in range(4)]
            for t in range(n_frames)
            for z in range(N_SLICES)
        ]
    )
    none = np.zeros((n_frames * N_SLICES, 4))
    return Tally(
        expected=expected, entropy=none, information=none, flip_risk=none,
        volumes=none[None], samples=("member0",), pixel_mm2=1.0,
    )  # fmt: skip


def sure(labels: np.ndarray) -> np.ndarray:
    return np.eye(4)[labels]


@pytest.fixture
def labels() -> np.ndarray:
    """Three frames: the LV is large, small, middling; the RV the same in all."""
    array = np.zeros((10, 10, N_SLICES, 3), dtype=np.uint8)
    for t, size in enumerate((5, 2, 4)):
        array[:size, :size, :, t] = Label.LV
    array[6:, 6:] = Label.RV
    return array


def test_a_network_that_is_sure_misses_nothing(labels: np.ndarray) -> None:
    assert missed_volumes(tally_of(sure(labels), labels), labels) == dict.fromkeys(DICTIONARY, 0.0)


def test_a_slice_left_out_in_doubt_counts_in_its_phase_alone(labels: np.ndarray) -> None:
    seen = labels.copy()
    seen[6:, 6:, 0, 1] = 0  # left out at end-systole, where the network gives it 40%
    probabilities = sure(seen)
    probabilities[6:, 6:, 0, 1] = [0.6, 0.4, 0.0, 0.0]
    found = missed_volumes(tally_of(probabilities, seen), seen)
    assert found.pop("rvesv_missed_pct") == pytest.approx(40.0)  # 16 x 0.4 of 16
    assert set(found.values()) == {0.0}


def test_doubt_about_what_is_labelled_is_no_missed_volume(labels: np.ndarray) -> None:
    probabilities = sure(labels)
    probabilities[labels == Label.LV] = [0.4, 0.0, 0.0, 0.6]
    found = missed_volumes(tally_of(probabilities, labels), labels)
    assert set(found.values()) == {0.0}


def test_named_frames_are_taken_at_their_word(labels: np.ndarray) -> None:
    probabilities = sure(labels)
    probabilities[5, 5, :, 2] = [0.5, 0.0, 0.0, 0.5]
    tally = tally_of(probabilities, labels)
    assert missed_volumes(tally, labels)["lvesv_missed_pct"] == 0.0
    named = missed_volumes(tally, labels, frame_labels=["ED", "", "ES"])
    assert named["lvesv_missed_pct"] == pytest.approx(100.0 / 32.0)


def test_nothing_labelled_and_one_frame_are_unknown(labels: np.ndarray) -> None:
    nothing = np.zeros_like(labels)
    without = missed_volumes(tally_of(sure(nothing), nothing), nothing)
    single = missed_volumes(tally_of(sure(labels[..., :1]), labels[..., :1]), labels[..., :1])
    for found in (without, single):
        assert set(found) == set(DICTIONARY)
        assert all(math.isnan(value) for value in found.values())
