"""The heart's frame from labels: moves with the heart, whatever the grid."""

import numpy as np
import pytest

from popscan.protocols.cine_sax.frame import heart_frame
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError
from popscan.register import frame_to_frame

SHAPE = (80, 80, 14)
SPACING = (2.0, 2.0, 8.0)
MIDDLE = np.array([85.0, 80.0, 45.0])


def angle_deg(a, b):
    return np.rad2deg(np.arccos(np.clip(a @ b, -1, 1)))


def test_an_upright_heart_has_the_array_axes(shapes):
    labels = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](np.eye(3), MIDDLE))
    frame = heart_frame(labels, spacing_mm=SPACING)
    np.testing.assert_allclose(frame.axes.T @ frame.axes, np.eye(3), atol=1e-12)
    for axis in range(3):
        assert angle_deg(frame.axes[:, axis], np.eye(3)[axis]) < 8
    assert np.abs(frame.centre_mm - MIDDLE)[:2].max() < 1.5
    assert frame.length_mm == pytest.approx(71, abs=9)


@pytest.mark.parametrize("degrees", [-100, -35, 20, 170])
def test_the_frame_turns_with_the_heart(shapes, degrees):
    upright = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](np.eye(3), MIDDLE))
    turn = shapes["rotation"](2, degrees) @ shapes["rotation"](1, 8)
    turned = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](turn, MIDDLE))
    first = heart_frame(upright, spacing_mm=SPACING)
    second = heart_frame(turned, spacing_mm=SPACING)
    found = frame_to_frame(first, second)
    for axis in range(3):
        assert angle_deg(found[:3, axis], turn[:, axis]) < 5
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1)


def test_slices_from_apex_to_base_give_the_same_long_axis(shapes):
    labels = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](np.eye(3), MIDDLE))
    frame = heart_frame(labels[:, :, ::-1], spacing_mm=SPACING)
    assert frame.axes[2, 2] < -0.99
    assert frame.axes[0, 0] > 0.99
    assert frame.axes[1, 1] > 0.99


def test_a_larger_heart_is_longer_but_as_central(shapes):
    spacing = (2.0, 2.0, 4.0)
    frames = [
        heart_frame(
            shapes["heart"](
                (90, 90, 32), spacing, matrix=shapes["placed"](np.eye(3), MIDDLE), scale=scale
            ),
            spacing_mm=spacing,
        )
        for scale in (1.0, 1.25)
    ]
    assert frames[1].length_mm / frames[0].length_mm == pytest.approx(1.25, abs=0.06)


def test_a_heart_of_two_slices_stands_on_its_slices(shapes):
    labels = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](np.eye(3), MIDDLE))
    frame = heart_frame(labels[:, :, 4:6], spacing_mm=SPACING)
    np.testing.assert_allclose(np.abs(frame.axes[:, 2]), (0, 0, 1))


@pytest.mark.parametrize("label", [Label.RV, Label.MYO, Label.LV])
def test_a_missing_structure_fails_the_subject(shapes, label):
    labels = shapes["heart"](SHAPE, SPACING, matrix=shapes["placed"](np.eye(3), MIDDLE))
    labels[labels == label] = Label.BACKGROUND
    with pytest.raises(SubjectError, match="expected RV, MYO and LV") as caught:
        heart_frame(labels, spacing_mm=SPACING)
    assert caught.value.reason == "missing_structure"


def test_an_rv_around_the_lv_has_no_direction():
    labels = np.zeros((9, 9, 3), dtype=np.uint8)
    labels[1:8, 1:8] = Label.RV
    labels[2:7, 2:7] = Label.MYO
    labels[3:6, 3:6] = Label.LV
    with pytest.raises(SubjectError) as caught:
        heart_frame(labels, spacing_mm=(1.0, 1.0, 1.0))
    assert caught.value.reason == "undefined_heart_frame"
