"""Registration with a learned penalty of deformations: laws for any weights, and its taste."""

import numpy as np
import pytest
import torch

from popscan.records import PopscanError, SubjectError
from popscan.register import MODELLED, models_of, register
from popscan.register.architectures import build_registration
from popscan.register.deformations import SIDE, STRIDE, gradients_of, implausibility
from popscan.register.learned import load_pairs, save_pairs
from popscan.register.velocities import Grid, integrate

ARGUMENTS = {"channels": [4, 6], "codes": 3}
SPACING = (1.4, 1.6)
STRONG = {"plausibility_weight": 5.0, "control_mm": 6.0, "smoothing_mm": 6.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a folder with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build_registration("deformations", 0, **ARGUMENTS)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    about = {"name": "tiny", "arguments": ARGUMENTS}
    folder = tmp_path_factory.mktemp("model") / "any"
    return str(save_pairs(folder, network, about=about, card="x", architecture="deformations"))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.random((2, 3, 46, 39, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def slices(images):
    return images[0][..., 0], images[1][..., 0]


def run(model, pair, **options):
    spacing = SPACING if pair[0].ndim == 3 else (*SPACING, 8.0)
    return register(
        *pair, method="biomechanics", spacing_mm=spacing, model=model, **(STRONG | options)
    )


def test_whatever_the_weights_exchanging_inverts_and_nothing_folds(model, slices):
    warp, back = run(model, slices), run(model, slices[::-1])
    assert np.abs(warp.displacement_mm).max() > 0.5
    np.testing.assert_allclose(back.displacement_mm, warp.inverse_mm, atol=2e-2)
    assert (warp.jacobian() > 0).all()
    again = integrate(warp.velocity_mm, slices[0].shape[1:], spacing_mm=SPACING)
    np.testing.assert_allclose(again.displacement_mm, warp.displacement_mm, atol=1e-3)
    assert run(model, slices).displacement_mm.tobytes() == warp.displacement_mm.tobytes()


def test_equal_images_do_not_move(model, slices):
    warp = run(model, (slices[0], slices[0]))
    np.testing.assert_allclose(warp.displacement_mm, 0, atol=1e-5)


def test_without_the_penalty_it_is_svf(model, slices):
    plain = register(*slices, method="svf", spacing_mm=SPACING, stiffness=0.02)
    same = run(model, slices, plausibility_weight=0.0, stiffness=0.02)
    np.testing.assert_array_equal(same.displacement_mm, plain.displacement_mm)
    other = run(model, slices, stiffness=0.02)
    assert np.abs(other.displacement_mm - plain.displacement_mm).max() > 0.05


def test_volumes_are_registered_slice_by_slice(model, images, slices):
    whole, plane = run(model, images), run(model, slices)
    np.testing.assert_allclose(whole.displacement_mm[..., 0, :2], plane.displacement_mm, atol=1e-3)
    np.testing.assert_array_equal(whole.displacement_mm[..., 2], 0)
    one = run(model, images[..., :1], in_plane=True)
    np.testing.assert_allclose(one.displacement_mm, whole.displacement_mm[..., :1, :], atol=1e-3)


def test_the_penalty_sees_gradients_and_no_shifts(model):
    network = load_pairs(model, "deformations")
    grid = Grid(shape=(50, 40), spacing_mm=(1.5, 2.0))
    still = implausibility(network, torch.zeros(1, 2, 50, 40), grid)
    moved = implausibility(network, torch.full((1, 2, 50, 40), 7.0), grid)
    torch.testing.assert_close(moved, still)
    x = torch.arange(50.0).view(1, 1, 50, 1) * 1.5 * torch.ones(1, 2, 50, 40)
    slope = gradients_of(0.1 * x, grid.spacing_mm)
    torch.testing.assert_close(slope[:, :2], torch.full((1, 2, 50, 40), 0.1))
    assert slope[:, 2:].abs().max() < 1e-5


@pytest.mark.parametrize("points", [3, SIDE, SIDE + 1, SIDE + STRIDE, 100])
def test_slices_of_any_size_are_covered_by_patches(model, points):
    network = load_pairs(model, "deformations")
    grid = Grid(shape=(points, points), spacing_mm=(4.0, 4.0))
    field = torch.zeros(2, 2, points, points)
    field[1, :, -1, -1] = 20.0  # in the last corner
    cost = implausibility(network, field, grid)
    assert torch.isfinite(cost).all()
    assert cost[1] != cost[0]


def test_what_cannot_be_used_is_refused(model, slices):
    with pytest.raises(PopscanError, match="plausibility_weight"):
        run(model, slices, plausibility_weight=-1.0)
    with pytest.raises(PopscanError, match="architecture deformations is expected"):
        run("motion_cine", slices)
    with pytest.raises(PopscanError, match="model"):
        register(*slices, method="biomechanics", spacing_mm=SPACING)
    bad = np.where(slices[1] > 0.9, np.nan, slices[1])
    with pytest.raises(SubjectError) as refused:
        run(model, (slices[0], bad))
    assert refused.value.reason == "non_finite_image"


def test_a_result_names_its_model(model):
    assert "biomechanics" in MODELLED
    assert len(models_of("biomechanics", {"model": model})["model_digest"]) == 64


def test_the_shipped_penalty_prefers_a_heart_to_its_opposite(shapes):
    """Of the digital hearts that it was not trained on, and fields of the same size."""
    from popscan.protocols.cine_sax.training.deformations import simulated_fields

    network = load_pairs("biomechanics", "deformations")
    fields = torch.from_numpy(simulated_fields(4, seed=7).fields).float()
    grid = Grid(shape=tuple(fields.shape[2:]), spacing_mm=(4.0, 4.0))
    plausible = implausibility(network, fields, grid)
    # The same gradients in another order of the components: shear where there was compression.
    twisted = implausibility(network, torch.stack([fields[:, 1], -fields[:, 0]], dim=1), grid)
    large = fields.flatten(1).abs().amax(dim=1) > 4
    assert (plausible[large] < twisted[large]).float().mean() > 0.9
    assert plausible[large].mean() < 0.5 * twisted[large].mean()


def test_the_shipped_model_keeps_a_ring_from_changing_its_area(shapes):
    points = shapes["centres"]((64, 64), (1.5, 1.5))
    x, y = points - 47.0
    radius = np.hypot(x, y)

    def ring(inner, outer):
        return 1 / (1 + np.exp((inner - radius) / 1.0)) / (1 + np.exp((radius - outer) / 1.0))

    fixed, moving = ring(20, 29)[None], ring(14, np.sqrt(29**2 - 20**2 + 14**2))[None]
    found = {}
    for name, options in {
        "svf": {"stiffness": 0.01, "smoothing_mm": 3.0, "control_mm": 4.0},
        "biomechanics": {"model": "biomechanics"},
    }.items():
        warp = register(fixed, moving, method=name, spacing_mm=(1.5, 1.5), **options)
        assert np.abs(fixed - warp.images(moving)).sum() < 0.5 * np.abs(fixed - moving).sum()
        found[name] = np.abs(warp.jacobian()[fixed > 0.5] - 1).mean()
    assert found["biomechanics"] < found["svf"]
