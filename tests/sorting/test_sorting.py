"""Series are clustered without labels, and named only where the evidence allows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from popscan.protocol import load
from popscan.protocols import every
from popscan.records import SubjectError
from popscan.sorting.clusters import cluster, fit
from popscan.sorting.facts import THUMB, Facts, Named
from popscan.sorting.features import geometry
from popscan.sorting.naming import UNKNOWN, Votes, best, final, named_session
from popscan.sorting.picture import coarse_volume, frames_shown, picture
from popscan.sorting.quality import noise_level, sharpness

SAX = np.array([0.58, -0.58, -0.57]) / np.linalg.norm([0.58, -0.58, -0.57])
FINDERS = [load(p.sorting.find) for p in every() if p.sorting is not None]


def facts(**changes) -> Facts:
    """A beating stack across the heart's usual axis, cine as a scanner writes it."""
    row = np.cross(SAX, [0.0, 0.0, 1.0])
    row /= np.linalg.norm(row)
    made = Facts(
        place="a", subject="s", session="s", dicom=True, n_images=240, n_slices=10, n_frames=24,
        matrix=(192, 192), spacing_mm=(1.8, 1.8), slice_mm=10.0, row=row,
        column=np.cross(SAX, row), normal=SAX, centre_mm=np.zeros(3), span_ms=800.0,
        thumb=np.zeros((2, THUMB, THUMB), np.uint8), change=0.2, focus=0.9, closing=0.3,
        change_mm=np.zeros(3), median=100.0, high=300.0,
    )  # fmt: skip
    return replace(made, **changes)


def name_of(*series: Facts) -> str:
    named = best(named_session(series, FINDERS)[0])
    return UNKNOWN if named is None else named.name


def test_a_beating_stack_is_a_short_axis_cine():
    assert name_of(facts()) == "sax_cine"


@pytest.mark.parametrize(
    "changes",
    [
        {"change": 0.01},  # nothing beats
        {"focus": 0.1},  # it changes everywhere
        {"closing": 8.0},  # it drifts
        {"span_ms": 45_000.0},  # contrast that passes for most of a minute
        {"n_frames": 1, "n_images": 10},
        {"prepared": True, "inversion_ms": (100.0,)},
        {"normal": np.full(3, np.nan), "centre_mm": np.full(3, np.nan)},  # lost by a converter
        {"normal": np.array([0.0, 0.0, 1.0])},
        {"spacing_mm": (0.2, 0.2)},  # a field of view of 40 mm: no chest
        {"n_slices": 1, "n_images": 24, "span_ms": np.nan, "normal": np.array([0.9, -0.1, -0.42])},
    ],
)
def test_thin_evidence_has_no_name(changes):
    assert name_of(facts(**changes)) == UNKNOWN


def test_flow_and_mapping_are_named_by_what_the_header_says():
    plane = {"n_slices": 1, "n_images": 24, "normal": np.array([0.0, 0.0, 1.0])}
    phase = facts(**plane, venc=True, signed=True, prepared=True)
    assert name_of(phase) == "flow_phase"
    assert name_of(facts(**plane), phase) == "flow_magnitude"
    times = (100.0, 180.0, 1100.0)
    raw = facts(**plane, prepared=True, inversion_ms=times)
    assert name_of(raw) == "t1_inversions"
    one_each = [replace(raw, n_frames=1, inversion_ms=(time,), echo_ms=1.1) for time in times]
    assert name_of(*one_each) == "t1_inversions"
    # Scouts of the inversion time end where the muscle is nulled.
    assert name_of(replace(raw, inversion_ms=(80.0, 120.0, 300.0, 400.0))) == UNKNOWN
    late = facts(n_frames=1, n_images=10, prepared=True, inversion_ms=(280.0,))
    assert name_of(late) == "sax_lge"


def test_a_scout_is_one_by_its_directions():
    assert name_of(facts(n_directions=3, n_images=9, n_frames=1, slice_mm=20.0)) == "scout"


def test_two_names_that_are_nearly_as_sure_are_none():
    one, two = Named(name="a", sure=0.8, by=""), Named(name="b", sure=0.75, by="")
    assert best(facts(named=(one, two))) is None
    assert best(facts(named=(one, replace(two, sure=0.6)))) == one
    assert best(facts(named=(replace(one, sure=0.5),))) is None


def test_clusters_lend_their_name_only_where_they_agree():
    votes = Votes()
    for name in ["a"] * 9 + [UNKNOWN]:
        votes.add(name)
    assert final(None, votes).name == "a"
    other = final(Named(name="b", sure=0.9, by=""), votes)
    assert other.name == UNKNOWN
    assert "looks like b" in other.by
    votes.add("b")
    assert final(None, votes).name == UNKNOWN
    few = Votes()
    few.add("a")
    assert final(None, few).name == UNKNOWN


def test_names_of_protocols_are_those_that_their_finders_give():
    known = {name for p in every() if p.sorting is not None for name in p.sorting.names}
    assert {"sax_cine", "4ch_cine", "flow_phase", "t1_map", "brain_t1w"} <= known


def test_geometry_does_not_depend_on_the_sign_of_the_normal():
    assert np.allclose(geometry(facts()), geometry(facts(normal=-SAX)))
    turned = geometry(facts(normal=np.array([0.0, 0.0, 1.0])))
    assert np.linalg.norm(geometry(facts()) - turned) > 1.0


def test_clusters_need_no_number_and_repeat():
    rng = np.random.default_rng(3)
    places = np.repeat(np.eye(4) * 3.0, [20, 10, 5, 1], axis=0)
    features = places + rng.normal(0, 0.05, places.shape)
    found = cluster(features)
    assert found.labels.tolist() == [0] * 20 + [1] * 10 + [2] * 5 + [3]
    assert found.of(features[20:22]).tolist() == [1, 1]
    assert found.of(np.full((1, 4), 9.0)).tolist() == [-1]


def test_features_learnt_within_a_cluster_part_what_looks_different():
    rng = np.random.default_rng(5)
    thumbs = rng.integers(0, 30, (40, 2, THUMB, THUMB)).astype(np.uint8)
    thumbs[:20, 0, 20:40, 20:40] = 200
    thumbs[20:, 0, 16:48, 16:20] = 200
    where = np.stack([geometry(facts())] * 40)
    model = fit(thumbs, where, seed=1)
    labels = model.of(thumbs, where)
    assert not set(labels[:20]) & set(labels[20:])
    assert np.array_equal(fit(thumbs, where, seed=1).of(thumbs, where), labels)
    assert fit(thumbs[:1], where[:1], seed=1).of(thumbs[:1], where[:1]).tolist() == [0]


def disc(radius: float, n: int = 64) -> np.ndarray:
    x, y = np.mgrid[:n, :n] - (n - 1) / 2
    return 100.0 * (np.hypot(x - 8, y) < radius)


def look(frames: np.ndarray, spacing: float = 2.0):
    row, column = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    return picture(
        frames, spacing_mm=(spacing, spacing), row=row, column=column, centre_mm=np.zeros(3)
    )


def test_what_beats_is_found_where_it_is_and_a_drift_is_no_cycle():
    phases = 2 * np.pi * np.arange(20) / 20
    beating = look(np.stack([disc(10 + 4 * np.cos(p)) for p in phases], axis=2))
    assert beating.focus > 0.9
    assert beating.closing < 1.5
    assert np.allclose(beating.change_mm, [16.0, 0.0, 0.0], atol=3.0)
    drifting = look(np.stack([disc(8 + 0.5 * t) for t in range(20)], axis=2))
    assert drifting.closing > 2.0
    still = look(np.stack([disc(10)] * 20, axis=2))
    assert still.change == 0.0
    assert np.isnan(still.change_mm).all()


def test_thumbnails_do_not_depend_on_how_an_image_is_stored():
    frames = disc(10)[:, :, np.newaxis]
    upright = look(frames).thumb
    row, column = np.array([0.0, -1, 0]), np.array([-1.0, 0, 0])
    stored = frames.transpose(1, 0, 2)[::-1, ::-1]
    other = picture(
        stored, spacing_mm=(2.0, 2.0), row=row, column=column, centre_mm=np.zeros(3)
    ).thumb
    assert np.abs(other.astype(int) - upright).max() <= 1


def test_noise_and_blur_are_measured():
    rng = np.random.default_rng(1)
    clean = disc(20)
    assert noise_level(clean + rng.normal(0, 5, clean.shape)) == pytest.approx(0.05, rel=0.25)
    blurred = np.stack([clean, np.roll(clean, 3, 0), np.roll(clean, 6, 0)]).mean(axis=0)
    assert sharpness(blurred, spacing_mm=(2.0, 2.0)) < 0.8 * sharpness(clean, spacing_mm=(2.0, 2.0))
    assert np.isnan(noise_level(np.zeros((32, 32))))
    assert np.isnan(sharpness(np.zeros((32, 32)), spacing_mm=(1.0, 1.0)))


def test_places_and_spacings_that_cannot_be_are_refused():
    frames, turned = disc(10)[:, :, np.newaxis], np.array([1.0, 0, 0])
    for spacing, centre, reason in (
        (0.001, 0.0, "bad_spacing"),
        (np.nan, 0.0, "bad_spacing"),
        (2.0, 1e308, "bad_affine"),
    ):
        with pytest.raises(SubjectError) as error:
            picture(
                frames, spacing_mm=(2.0, spacing), row=turned, column=turned[[1, 0, 2]],
                centre_mm=np.full(3, centre),
            )  # fmt: skip
        assert error.value.reason == reason
    with pytest.raises(SubjectError):
        coarse_volume(np.zeros((9, 9, 45)), spacing_mm=(2.0, 2.0, 1e-6), axes=np.eye(3))
    assert look(frames, spacing=0.03).thumb.shape == (2, THUMB, THUMB)


def test_single_images_of_many_inversion_times_are_no_late_enhancement():
    times = (100.0, 180.0, 300.0, 1100.0)
    plane = {"n_frames": 1, "n_images": 1, "n_slices": 1, "prepared": True}
    one_each = [facts(**plane, inversion_ms=(time,)) for time in times]
    stack = facts()
    for series in (one_each, [replace(one, echo_ms=1.1) for one in one_each], one_each[:3]):
        found = named_session([*series, stack], FINDERS)[:-1]
        names = {UNKNOWN if (n := best(f)) is None else n.name for f in found}
        assert names <= {UNKNOWN, "t1_inversions"}
    assert name_of(one_each[2], stack) == "sax_lge"
    assert name_of(replace(one_each[2], spacing_mm=(1.2, 1.2)), *one_each, stack) == "sax_lge"


def test_frames_that_are_looked_at_hold_both_ends():
    assert frames_shown(1) == [0]
    assert frames_shown(40)[0] == 0
    assert frames_shown(40)[-1] == 39
