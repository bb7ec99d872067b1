"""Shape functions: hand-counted cases and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from popscan.arrays import morphology
from popscan.protocols.cine_sax import volumes
from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError

LABELS = hnp.arrays(np.uint8, (5, 6, 3, 2), elements=st.integers(0, 3))
MASKS = hnp.arrays(np.bool_, (5, 6, 3, 2))


def test_volume_is_voxels_times_spacing() -> None:
    labels = np.zeros((4, 4, 2, 2), np.uint8)
    labels[0, 0, :, 0] = Label.LV
    labels[1, :3, 0, 1] = Label.RV
    curves = volumes.volume_curves_ml(labels, spacing_mm=(2.0, 5.0, 10.0))
    np.testing.assert_array_equal(curves["lv"], [0.2, np.nan])
    np.testing.assert_allclose(curves["rv"], [np.nan, 0.3])
    assert np.isnan(curves["myo"]).all()


def test_frames_that_nobody_labelled_are_nan() -> None:
    labels = np.full((2, 2, 1, 3), Label.LV, np.uint8)
    curve = volumes.volume_curves_ml(labels, spacing_mm=(1, 1, 1), frames=[0, 2])["lv"]
    np.testing.assert_array_equal(np.isnan(curve), [False, True, False])


@pytest.mark.parametrize(
    ("labels", "spacing", "word"),
    [
        (np.zeros((2, 2, 2)), (1, 1, 1), "x, y, z, t"),
        (np.full((2, 2, 2, 1), 9), (1, 1, 1), "expected 0 to 3"),
        (np.full((2, 2, 2, 1), 0.5), (1, 1, 1), "fractions"),
        (np.zeros((2, 2, 2, 1)), (1, 1), "three positive"),
        (np.zeros((2, 2, 2, 1)), (1, 1, np.nan), "three positive"),
        (np.zeros((2, 2, 2, 1)), (1, -1, 1), "three positive"),
    ],
)
def test_bad_input_is_named(labels: np.ndarray, spacing: tuple, word: str) -> None:
    with pytest.raises(PopscanError, match=word):
        volumes.volume_curves_ml(labels, spacing_mm=spacing)


@settings(deadline=None, max_examples=25)
@given(mask=MASKS)
def test_components_agree_with_labelling_each_frame_alone(mask: np.ndarray) -> None:
    volume = morphology.components(mask, in_plane=False)
    plane = morphology.components(mask, in_plane=True)
    for t in range(mask.shape[3]):
        named, n = ndimage.label(mask[..., t], structure=np.ones((3, 3, 3)))
        assert volume.count[t] == n
        sizes = np.bincount(named.ravel())[1:]
        assert volume.stray[t] == (sizes.sum() - sizes.max() if n else 0)
        for z in range(mask.shape[2]):
            assert plane.count[z, t] == ndimage.label(mask[:, :, z, t], np.ones((3, 3)))[1]


@settings(deadline=None, max_examples=25)
@given(mask=MASKS)
def test_holes_agree_with_filling_each_slice(mask: np.ndarray) -> None:
    holes = morphology.hole_voxels(mask)
    for z, t in np.ndindex(holes.shape):
        filled = ndimage.binary_fill_holes(mask[:, :, z, t])
        assert holes[z, t] == filled.sum() - mask[:, :, z, t].sum()


@settings(deadline=None, max_examples=25)
@given(labels=LABELS)
def test_contacts_are_mutual(labels: np.ndarray) -> None:
    edges, beyond = morphology.boundary_contacts(labels, Label.LV, others=Label)
    back = morphology.boundary_contacts(labels, Label.MYO, others=Label)[1]
    np.testing.assert_array_equal(beyond[Label.MYO], back[Label.LV])
    assert (edges >= beyond[Label.MYO] + beyond[Label.RV]).all()


@given(LABELS)
def test_touching_is_contact_at_any_side(labels: np.ndarray) -> None:
    contacts = morphology.boundary_contacts(labels, Label.LV, others=Label)[1][Label.RV]
    found = morphology.touching(labels == Label.RV, labels == Label.LV)
    np.testing.assert_array_equal(found, contacts > 0)


def test_single_voxel_has_four_edges_and_its_centre() -> None:
    labels = np.zeros((3, 3, 2, 1), np.uint8)
    labels[2, 1, 0, 0] = Label.LV
    edges, beyond = morphology.boundary_contacts(labels, Label.LV, others=Label)
    assert edges.tolist() == [[4], [0]]
    assert beyond[Label.BACKGROUND].tolist() == [[4], [0]]
    centres = morphology.slice_centres_mm(labels == Label.LV, spacing_mm=(2.0, 3.0))
    np.testing.assert_array_equal(centres[:, 0], [[4.0, 3.0], [np.nan, np.nan]])


@settings(deadline=None, max_examples=40)
@given(
    curve=hnp.arrays(float, 8, elements=st.floats(20, 200)),
    shift=st.integers(0, 7),
    sigma=st.floats(0, 2),
)
def test_smoothing_keeps_the_mean_and_commutes_with_cyclic_shifts(
    curve: np.ndarray, shift: int, sigma: float
) -> None:
    smooth = volumes.smooth_cyclic(curve, sigma_frames=sigma)
    assert smooth.mean() == pytest.approx(curve.mean())
    rolled = volumes.smooth_cyclic(np.roll(curve, shift), sigma_frames=sigma)
    np.testing.assert_allclose(rolled, np.roll(smooth, shift))


def test_phases() -> None:
    assert volumes.find_phases([50, 60, 100, np.nan, 40]) == (2, 4)
    assert volumes.find_phases([50, 100], frame_labels=["ES", "ED"]) == (1, 0)
    # A name is taken at its word even where the volumes disagree.
    assert volumes.find_phases([50, 100], frame_labels=["ED", "ES"]) == (0, 1)
    assert volumes.find_phases([100], frame_labels=["ED"]) == (0, None)
    assert volumes.find_phases([100]) == (None, None)
    assert volumes.find_phases([np.nan, np.nan]) == (None, None)
    assert volumes.find_phases([9, 100, 50, 70], frame_labels=["ED", "", "", ""]) == (0, 0)
    with pytest.raises(PopscanError, match="frame_labels"):
        volumes.find_phases([1, 2], frame_labels=["ED"])


def test_smoothing_ignores_a_single_spike() -> None:
    curve = 100 + 40 * np.cos(2 * np.pi * np.arange(20) / 20)
    curve[7] = 10.0
    assert volumes.find_phases(curve, smoothing_share=0.0)[1] == 7
    assert volumes.find_phases(curve)[1] in (8, 9, 10)


def test_smoothing_takes_the_bias_of_noise_out_of_the_extremes(rng: np.random.Generator) -> None:
    clean = 100 + 40 * np.cos(2 * np.pi * np.arange(25) / 25)
    swing = {share: [] for share in (0.0, volumes.PHASE_SMOOTHING_SHARE)}
    for _ in range(200):
        noisy = clean + rng.normal(0, 4.0, 25)
        for share, found in swing.items():
            ed, es = volumes.find_phases(noisy, smoothing_share=share)
            found.append(noisy[ed] - noisy[es] - 80.0)
    raw, smooth = (np.mean(found) for found in swing.values())
    assert raw > 4.0
    assert abs(smooth) < 3.0


@settings(deadline=None, max_examples=25)
@given(labels=LABELS)
def test_bounding_box_keeps_everything(labels: np.ndarray) -> None:
    mask = labels == Label.LV
    assert mask[morphology.bounding_box(mask)].sum() == mask.sum()


def test_base_is_where_the_right_ventricle_is() -> None:
    labels = np.zeros((4, 4, 6, 1), np.uint8)
    labels[:2, :2] = Label.LV
    labels[2:, 2:, :3] = Label.RV
    assert base_is_first(labels)
    assert not base_is_first(labels[:, :, ::-1])
