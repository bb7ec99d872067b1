"""A track that failed gives a reason, and no number at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heart_labels import Stack, digital_heart
from popscan.motion import Track
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.strain import measure
from popscan.protocols.cine_sax.strain.measure import measure_motion
from popscan.records import LabelMap, Scan, SubjectError

STACK = Stack(spacing_mm=(2.5, 2.5, 12.0), shape=(64, 58, 9))
N_FRAMES = 8


@pytest.fixture(scope="module")
def still() -> tuple[Scan, LabelMap]:
    """A heart that stays as it is: outlines that never move follow it."""
    labels = np.repeat(STACK.labels(digital_heart(4))[..., np.newaxis], N_FRAMES, axis=3)
    scan = Scan(
        array=np.array([0.4, 0.8, 0.0, 1.0], np.float32)[labels],
        affine=STACK.affine,
        spacing_mm=STACK.spacing_mm,
        frame_times_ms=np.arange(N_FRAMES) * 100.0,
        meta={"rr_ms": 800.0},
    )
    return scan, LabelMap(array=labels, frames=tuple(range(N_FRAMES)))


def tracked(monkeypatch, spoil) -> None:
    """Let the registration return no motion, spoilt."""

    def track_cycle(images, *, reference, spacing_mm, **_):
        shape = (images.shape[3], images.shape[2], *images.shape[:2], 2)
        field = np.zeros(shape, np.float32)
        track = Track(
            direct_mm=field, chained_mm=field.copy(), closing_mm=field[0].copy(),
            reference=reference, spacing_mm=tuple(spacing_mm[:2]),
        )  # fmt: skip
        return spoil(track)

    monkeypatch.setattr(measure, "track_cycle", track_cycle)


def folded(track: Track) -> Track:
    field = track.direct_mm.copy()
    field[3:6, :, ::4, :, 0] = 8.0
    return replace(track, direct_mm=field)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda track: replace(track, closing_mm=track.closing_mm + 9.0), "track_not_closed"),
        (lambda track: replace(track, closing_mm=track.closing_mm * np.nan), "track_not_closed"),
        (folded, "track_folds"),
        (lambda track: replace(track, direct_mm=track.direct_mm + 9.0), "track_off_contours"),
        (lambda track: replace(track, direct_mm=track.direct_mm * np.nan), "track_undefined"),
    ],
    ids=["far from closed", "closing undefined", "folds", "leaves the outlines", "undefined"],
)
def test_a_failed_track_has_a_reason_and_no_strain(monkeypatch, still, spoil, reason):
    tracked(monkeypatch, spoil)
    with pytest.raises(SubjectError) as refused:
        measure_motion(*still)
    assert refused.value.reason == reason


def test_the_same_track_unspoilt_is_believed(monkeypatch, still):
    tracked(monkeypatch, lambda track: track)
    values = measure_motion(*still).values
    assert abs(values["gcs_peak_pct"]) < 1e-6
    assert values["contour_error_mm"] < 0.3


def test_a_heart_of_two_slices_has_no_strain(still):
    scan, labels = still
    array = labels.array.copy()
    kept = np.flatnonzero((array[..., 0] == Label.LV).any(axis=(0, 1)))[1:3]
    array[:, :, np.setdiff1d(np.arange(array.shape[2]), kept)] = Label.BACKGROUND
    with pytest.raises(SubjectError) as refused:
        measure_motion(scan, replace(labels, array=array))
    assert refused.value.reason == "too_few_slices"
