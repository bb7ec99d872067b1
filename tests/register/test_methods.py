"""Laws of every registration method behind the one interface."""

import numpy as np
import pytest

from popscan.records import PopscanError, SubjectError
from popscan.register import METHODS, MODELLED, Warp, register
from popscan.register.classic import demons
from popscan.register.linear import linear
from popscan.register.svf import svf
from popscan.register.velocities import integrate

SHAPE = (40, 36)
SPACING = (2.0, 2.5)
CENTRE = (39.0, 44.0)
FREE = ["demons", "ffd", "svf"]
#: All but those that need a model: test_learned.py and test_biomechanics.py beside this file.
ANY_IMAGE = [name for name in METHODS if name not in MODELLED]


def disc(shapes, centre, radii, shape=SHAPE, spacing=SPACING):
    return shapes["soft_ellipsoid"](shapes["centres"](shape, spacing), centre, radii)


@pytest.fixture(scope="module")
def pairs(shapes):
    """A shrinking and a shifted ellipse."""
    fixed = [disc(shapes, CENTRE, (24, 20)), disc(shapes, CENTRE, (22, 22))]
    moving = [disc(shapes, CENTRE, (18, 16)), disc(shapes, np.add(CENTRE, (4, -3)), (22, 22))]
    return np.stack(fixed), np.stack(moving)


@pytest.fixture(scope="module")
def warps(pairs):
    return {name: register(*pairs, method=name, spacing_mm=SPACING) for name in ANY_IMAGE}


@pytest.mark.parametrize("name", ANY_IMAGE)
def test_every_method_brings_the_images_together(warps, pairs, name):
    fixed, moving = pairs
    before = np.abs(fixed - moving).sum(axis=(1, 2))
    after = np.abs(fixed - warps[name].images(moving)).sum(axis=(1, 2))
    shrinks, shifts = after / before
    assert shifts < 0.35
    assert shrinks < (1.05 if name == "rigid" else 0.35)


@pytest.mark.parametrize("name", ANY_IMAGE)
def test_going_there_and_back_ends_where_it_began(warps, name):
    warp = warps[name]
    points = np.array([[30.0, 40.0], [39.0, 44.0], [50.0, 50.0]])
    points = np.stack([points, points])
    np.testing.assert_allclose(warp.inverse().points(warp.points(points)), points, atol=0.4)
    still = warp.then(warp.inverse()).displacement_mm[:, 8:-8, 8:-8]
    assert np.abs(still).max() < 0.4
    assert (warp.jacobian() > 0).all()


def test_a_shift_is_measured_in_mm(warps):
    at_centre = np.array([[CENTRE], [CENTRE]])
    for name in ("rigid", "affine", "linear"):
        moved = warps[name].points(at_centre)[1, 0] - CENTRE
        np.testing.assert_allclose(moved, (4, -3), atol=0.2)
    inside = warps["svf"].points(at_centre)[1, 0] - CENTRE
    np.testing.assert_allclose(inside, (4, -3), atol=1.2)


@pytest.mark.parametrize("name", ANY_IMAGE)
def test_a_batch_is_as_good_as_one_by_one(pairs, warps, name):
    fixed, moving = pairs
    alone = register(fixed[1:], moving[1:], method=name, spacing_mm=SPACING)
    np.testing.assert_allclose(alone.displacement_mm, warps[name][1:].displacement_mm, atol=1e-3)


def test_exchanging_the_images_inverts_the_result(pairs, warps):
    fixed, moving = pairs
    back = register(moving, fixed, method="svf", spacing_mm=SPACING)
    np.testing.assert_allclose(back.displacement_mm, warps["svf"].inverse_mm, atol=2e-2)


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_exchanging_the_images_inverts_an_affine_map(shapes, kind):
    """Three axes, another distance: a turned and shifted thing without any symmetry."""
    shape, spacing, centre = (28, 26, 24), (4.0, 4.0, 4.0), np.array([54.0, 50.0, 46.0])
    points = shapes["centres"](shape, spacing)
    turn = shapes["rotation"](2, 12.0)
    there = np.einsum("ij,jxyz->ixyz", turn, points - centre[:, None, None, None])
    there += (centre + (3.0, -4.0, 2.0))[:, None, None, None]
    fixed, moving = (shapes["blobs"](p, centre)[None] for p in (there, points))
    options = {"spacing_mm": spacing, "method": "linear", "distance": "nmi", "kind": kind}
    warp = register(fixed, moving, **options)
    back = register(moving, fixed, **options)
    np.testing.assert_allclose(back.matrix, np.linalg.inv(warp.matrix), atol=0.05)
    # The fixed image shows at p what the moving one shows at turn (p - c) + c + shift.
    np.testing.assert_allclose(warp.matrix[0, :3, :3], turn, atol=0.06)
    moved = warp.points([[centre]])[0, 0] - centre
    np.testing.assert_allclose(moved, (3.0, -4.0, 2.0), atol=1.0)
    if kind == "rigid":
        np.testing.assert_allclose(
            warp.matrix[0, :3, :3] @ warp.matrix[0, :3, :3].T, np.eye(3), atol=1e-4
        )


def test_an_affine_map_that_cannot_be_is_refused(pairs):
    for options, message in (
        ({"kind": "magic"}, "'rigid' or 'affine'"),
        ({"distance": "magic"}, "known distances"),
        ({"levels_mm": (8.0,)}, "one number of iterations per level"),
    ):
        with pytest.raises(PopscanError, match=message):
            register(*pairs, method="linear", spacing_mm=SPACING, **options)


def test_the_same_bytes_each_time(pairs, warps):
    again = register(*pairs, method="svf", spacing_mm=SPACING)
    assert again.displacement_mm.tobytes() == warps["svf"].displacement_mm.tobytes()


def test_a_stored_velocity_gives_the_transform_again(warps):
    warp = warps["svf"]
    stored = warp.velocity_mm.astype(np.float16)
    again = integrate(stored, SHAPE, spacing_mm=SPACING)
    np.testing.assert_allclose(again.displacement_mm, warp.displacement_mm, atol=0.02)
    assert stored.nbytes < 0.1 * warp.displacement_mm.nbytes


@pytest.mark.parametrize("name", FREE)
def test_three_axes_work_alike(shapes, name):
    shape, spacing, centre = (24, 24, 8), (3.0, 3.0, 8.0), (35.0, 35.0, 28.0)
    fixed = disc(shapes, centre, (20, 22, 24), shape, spacing)[None]
    moving = disc(shapes, centre, (16, 18, 22), shape, spacing)[None]
    warp = register(fixed, moving, method=name, spacing_mm=spacing)
    before = np.abs(fixed - moving).sum()
    assert np.abs(fixed - warp.images(moving)).sum() < 0.5 * before
    assert (warp.jacobian() > 0).all()


def test_slices_of_a_stack_move_in_their_plane(pairs, warps):
    fixed, moving = (np.moveaxis(images, 0, -1)[None] for images in pairs)
    stack = register(fixed, moving, method="svf", spacing_mm=(*SPACING, 8.0), in_plane=True)
    assert stack.displacement_mm.shape == (1, *SHAPE, 2, 3)
    assert not stack.displacement_mm[..., 2].any()
    np.testing.assert_allclose(
        np.moveaxis(stack.displacement_mm[0, ..., :2], 2, 0),
        warps["svf"].displacement_mm,
        atol=1e-3,
    )
    again = integrate(stack.velocity_mm, (*SHAPE, 2), spacing_mm=(*SPACING, 8.0))
    np.testing.assert_allclose(again.displacement_mm, stack.displacement_mm, atol=2e-3)
    assert (stack.inverse().images(fixed) >= 0).all()
    single = register(
        fixed[..., :1], moving[..., :1], method="demons", spacing_mm=(*SPACING, 8.0), in_plane=True
    )
    assert single.displacement_mm.shape == (1, *SHAPE, 1, 3)
    assert (single.jacobian() > 0).all()


def test_labels_can_lead_where_images_are_blank(shapes):
    fixed = disc(shapes, CENTRE, (24, 20))[None]
    moving = disc(shapes, CENTRE, (18, 16))[None]
    blank = np.zeros_like(fixed)
    warp = register(
        blank, blank, method="svf", spacing_mm=SPACING,
        fixed_labels=fixed[:, None], moving_labels=moving[:, None],
    )  # fmt: skip
    assert np.abs(fixed - warp.images(moving)).sum() < 0.35 * np.abs(fixed - moving).sum()


def test_no_velocity_folds_what_it_moves(rng):
    """Noise onto noise without stiffness: nothing is alike, still nothing folds."""
    fixed, moving = rng.random((2, 1, *SHAPE)).astype(np.float32)
    warp = register(
        fixed, moving, method="svf", spacing_mm=SPACING, stiffness=0.0, smoothing_mm=1.0,
        control_mm=2.0, step_mm=6.0,
    )  # fmt: skip
    assert (warp.jacobian() > 0).all()
    assert (warp.inverse().jacobian() > 0).all()


def test_points_and_labels_go_through_the_same_transform():
    shift = np.tile(np.array([4.0, 0.0], dtype=np.float32), (1, *SHAPE, 1))
    warp = Warp(displacement_mm=shift, spacing_mm=SPACING)
    labels = np.zeros((1, *SHAPE), dtype=np.uint8)
    labels[0, 20, 10] = 3
    assert warp.labels(labels)[0, 18, 10] == 3
    np.testing.assert_allclose(warp.points([[[36.0, 25.0]]]), [[[40.0, 25.0]]])


@pytest.mark.parametrize("name", ANY_IMAGE)
@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("shape_mismatch", lambda a: a[:, 1:]),
        ("shape_mismatch", lambda a: a[:1]),
        ("bad_shape", lambda a: a[0]),
        ("bad_shape", lambda a: a[:, :0]),
        ("non_finite_image", lambda a: np.where(a > 0.9, np.nan, a)),
    ],
)
def test_what_cannot_be_registered_is_named(pairs, name, reason, change):
    fixed, moving = pairs
    with pytest.raises(SubjectError) as error:
        register(fixed, change(moving), method=name, spacing_mm=SPACING)
    assert error.value.reason == reason


def test_other_voxels_and_unknown_names_are_named(pairs):
    for options in ({"spacing_mm": (2.0, 0.0)}, {"spacing_mm": (2.0,)}):
        with pytest.raises(SubjectError) as error:
            register(*pairs, method="svf", **options)
        assert error.value.reason == "bad_spacing"
    with pytest.raises(SubjectError, match="expected one grid"):
        register(*pairs, method="svf", spacing_mm=SPACING, moving_spacing_mm=(2.0, 2.0))
    with pytest.raises(PopscanError, match="known methods: affine, bayesian, biomechanics, demons"):
        register(*pairs, method="magic", spacing_mm=SPACING)
    with pytest.raises(PopscanError, match="known distances"):
        register(*pairs, method="svf", spacing_mm=SPACING, distance="magic")
    with pytest.raises(PopscanError, match="there is no option 'smoothness'"):
        register(*pairs, method="svf", spacing_mm=SPACING, smoothness=3.0)
    with pytest.raises(PopscanError, match="per level"):
        register(*pairs, method="svf", spacing_mm=SPACING, n_iterations=(3,))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("linear", {"kind": "similarity"}, "kind 'similarity'; known are rigid, affine"),
        ("linear", {"step_mm": 0.0}, "step_mm 0.0"),
        *(
            (method, {"n_iterations": n, **levels}, "whole numbers from 0")
            for n in ((-1,), (2.5,), (True,))
            for method, levels in (
                ("linear", {"levels_mm": (4.0,)}), ("svf", {"levels_mm": (4.0,)}), ("demons", {}),
            )
        ),
        *(
            (method, {"n_iterations": (2,), "levels_mm": (mm,)}, "levels_mm .*above 0")
            for mm in (0.0, -4.0, float("nan"))
            for method in ("linear", "svf")
        ),
    ],
)  # fmt: skip
def test_searches_that_cannot_be_are_refused(pairs, method, options, message):
    """Also where the method is called without `register`, which checks types."""
    run = {"linear": linear, "svf": svf, "demons": demons}[method]
    with pytest.raises(PopscanError, match=message):
        run(*pairs, spacing_mm=SPACING, **options)


@pytest.mark.parametrize("method", ANY_IMAGE)
def test_images_that_no_method_can_use_are_refused_not_crashed_on(method):
    image = np.random.default_rng(0).uniform(size=(1, 12, 14)).astype(np.float32)
    for bad in (image * 1e30, image * 1j):
        with pytest.raises(SubjectError) as refused:
            register(bad, bad, method=method, spacing_mm=(1.0, 1.0))
        assert refused.value.reason == "bad_image"


def test_what_the_library_cannot_register_is_a_subjects_failure():
    image = np.random.default_rng(0).uniform(size=(1, 12, 14)).astype(np.float32)
    for fixed, moving in ((image, np.zeros_like(image)), (image[:, :2, :2],) * 2):
        with pytest.raises(SubjectError) as refused:
            register(fixed, moving, method="rigid", spacing_mm=(1.0, 1.0))
        assert refused.value.reason == "registration_failed"


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("demons", {"fixed_labels": np.ones((1, 1, 12, 14)), "moving_labels": None}),
        ("ffd", {"control_spacing_mm": 0.0}),
        ("svf", {"smoothing_mm": -1.0}),
        ("rigid", {"shrink_factors": (0,)}),
    ],
)
def test_labels_and_lengths_that_a_method_cannot_use_are_refused(method, options):
    image = np.random.default_rng(0).uniform(size=(1, 12, 14)).astype(np.float32)
    with pytest.raises(PopscanError, match=method):
        register(image, image, method=method, spacing_mm=(1.0, 1.0), **options)


def test_transforms_of_two_grids_are_not_composed():
    one = Warp.identity(1, (8, 9), spacing_mm=(1.0, 1.0))
    for other in (
        Warp.identity(1, (8, 9), spacing_mm=(2.0, 1.0)),
        Warp.identity(1, (9, 9), spacing_mm=(1.0, 1.0)),
        Warp.identity(2, (8, 9), spacing_mm=(1.0, 1.0)),
    ):
        with pytest.raises(SubjectError) as refused:
            one.then(other)
        assert refused.value.reason == "shape_mismatch"


def test_a_velocity_that_diverges_fails_its_pair_not_the_process(pairs):
    with pytest.raises(SubjectError) as refused:
        register(*pairs, method="svf", spacing_mm=SPACING, step_mm=1e39)
    assert refused.value.reason == "registration_failed"


def test_an_error_of_the_machine_is_charged_to_no_pair(pairs, monkeypatch):
    def out_of_memory(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("popscan.register.svf.svf", out_of_memory)
    monkeypatch.setattr("popscan.methods.check_options", lambda *_, **__: None)
    with pytest.raises(RuntimeError, match="CUDA"):
        register(*pairs, method="svf", spacing_mm=SPACING)
