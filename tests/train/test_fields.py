"""Training of plausible deformations: patches of known gradients, through the one trainer."""

import dataclasses

import numpy as np
import pytest
import torch
import yaml

from popscan.protocols.cine_sax.simulate.motion import material_points, positions_mm
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import anatomy_for
from popscan.protocols.cine_sax.training.deformations import (
    export_deformations,
    plane_displacement,
    simulated_fields,
)
from popscan.records import PopscanError
from popscan.register.deformations import POINTS_MM, SIDE
from popscan.register.fields import jacobian_determinant
from popscan.train.augmentation import Augmentation
from popscan.train.fields import FieldPack, FieldSampler, deformation_loss
from popscan.train.loop import CHECKPOINT, fit
from popscan.train.packs import Pack
from popscan.train.recipe import Recipe, load_recipe, parse_recipe

HOW = Augmentation(scale=(0.8, 1.25), flip=0.5, shift_px=2.0)
RECIPE = Recipe(
    name="tiny", seed=1, task="deform", architecture="deformations", batch=16, steps=60,
    architecture_arguments={"channels": [8, 8], "codes": 4}, learning_rate=4e-3, warmup_steps=2,
    checkpoint_every=30, log_every=30, autocast=False, ema_decay=0.9, augmentation=HOW,
)  # fmt: skip


def pack_of(matrix, side=40, n=3):
    """Displacements of one constant gradient."""
    line = (np.arange(side) - (side - 1) / 2) * POINTS_MM
    points = np.stack(np.meshgrid(line, line, indexing="ij"))
    field = np.einsum("ij,jxy->ixy", np.asarray(matrix), points).astype(np.float16)
    return FieldPack(fields=np.stack([field] * n), unit=("a",) * n, spacing_mm=POINTS_MM)


@pytest.fixture(scope="module")
def heart():
    row = sample_population(1, seed=3).to_dict("records")[0]
    return anatomy_for(row, rng=rng_for(3, str(row["participant_id"]), "anatomy")).heart


@pytest.fixture(scope="module")
def digital():
    return simulated_fields(3, seed=9, per_heart=8)


def test_turning_mirroring_and_scaling_keep_strain():
    """Of an isotropic compression nothing changes, of a shear the size of the strain."""
    generator = torch.Generator().manual_seed(0)
    sampler = FieldSampler({"a": pack_of([[-0.1, 0.0], [0.0, -0.1]])}, {}, how=HOW)
    gradients = sampler.draw(20, generator)
    assert gradients.shape == (20, 4, SIDE, SIDE)
    expected = torch.tensor([-0.1, 0.0, 0.0, -0.1]).view(1, 4, 1, 1).expand_as(gradients)
    torch.testing.assert_close(gradients, expected, atol=6e-3, rtol=0)
    sheared = FieldSampler({"a": pack_of([[0.1, 0.0], [0.0, -0.1]])}, {}, how=HOW)
    gradients = sheared.draw(20, generator)
    size = gradients.square().sum(dim=1)
    torch.testing.assert_close(size, torch.full_like(size, 0.02), atol=2e-3, rtol=0)
    assert gradients[:, 1].std() > 0.02
    trace = gradients[:, 0] + gradients[:, 3]
    assert trace.abs().max() < 0.01


def test_points_of_the_wall_go_where_the_closed_form_says(heart):
    """A plane's own points: same depth and direction, the level of the fixed plane."""
    field = plane_displacement(heart, 35.0, (0.0, heart.es_phase), fade_mm=12.0)
    n = field.shape[1]
    line = (np.arange(n) - (n - 1) / 2) * POINTS_MM
    u, v = np.meshgrid(line, line, indexing="ij")
    points = np.stack([u.ravel(), v.ravel(), np.full(n * n, 35.0)], axis=1)
    depth, theta, _ = material_points(heart, points).T
    inside = (depth > 0.1) & (depth < 0.9)
    assert inside.sum() > 20
    there = points[inside] + np.column_stack(
        [field.reshape(2, -1).T[inside], np.zeros(inside.sum())]
    )
    found = material_points(heart, there, phase=heart.es_phase)
    np.testing.assert_allclose(found[:, 0], depth[inside], atol=0.06)
    turned = np.angle(np.exp(1j * (found[:, 1] - theta[inside])))
    np.testing.assert_allclose(turned, 0, atol=0.03)
    assert positions_mm(heart, found, phase=heart.es_phase).shape == there.shape


def test_no_simulated_field_folds_and_all_fade(digital):
    assert len(digital.fields) == len(digital.unit) > 15
    for field in digital.fields.astype(np.float64):
        assert jacobian_determinant(np.moveaxis(field, 0, -1), spacing_mm=(4.0, 4.0)).min() > 0.2
        border = np.concatenate([field[:, 0], field[:, -1]])
        assert np.abs(border).max() < 0.7 * np.abs(field).max() + 0.05


def test_training_learns_to_reconstruct_and_goes_on_where_it_stopped(digital, tmp_path):
    whole = fit(RECIPE, {"d": digital}, tmp_path / "a", quiet=True)
    generator = torch.Generator().manual_seed(5)
    gradients = FieldSampler({"d": digital}, {}, how=HOW).draw(64, generator)
    fresh = fit(dataclasses.replace(RECIPE, steps=1), {"d": digital}, tmp_path / "c", quiet=True)
    losses = [deformation_loss(s.averaged, gradients, generator).item() for s in (whole, fresh)]
    assert losses[0] < 0.8 * losses[1]
    fit(RECIPE, {"d": digital}, tmp_path / "b", stop_after=30, quiet=True)
    assert (tmp_path / "b" / CHECKPOINT).is_file()
    parts = fit(RECIPE, {"d": digital}, tmp_path / "b", quiet=True)
    for one, other in zip(whole.averaged.parameters(), parts.averaged.parameters(), strict=True):
        assert torch.equal(one, other)


def test_packs_and_recipes_of_another_kind_are_refused(digital, tmp_path):
    slices = Pack(
        images=np.zeros((2, 8, 8), np.int16), labels=np.zeros((2, 8, 8), np.uint8),
        unit=np.array(["a", "a"]), frame=np.zeros(2, np.int32), slice_index=np.arange(2),
        usable=np.ones(2, bool), spacing_mm=1.5,
    )  # fmt: skip
    with pytest.raises(PopscanError, match="another task"):
        fit(RECIPE, {"s": slices}, tmp_path / "x", quiet=True)
    with pytest.raises(PopscanError, match="not there"):
        FieldSampler({"d": digital}, {"e": 1.0}, how=HOW)
    with pytest.raises(PopscanError, match="every 4"):
        FieldSampler({"d": dataclasses.replace(digital, spacing_mm=3.0)}, {}, how=HOW)
    with pytest.raises(PopscanError, match="goes with task deform alone"):
        parse_recipe({"name": "x", "architecture": "deformations"})
    with pytest.raises(PopscanError, match="goes with task deform alone"):
        parse_recipe({"name": "x", "task": "deform"})
    assert load_recipe(load_recipe("biomechanics").init_from).task == "deform"


def test_the_model_says_what_it_misses_of_other_hearts(digital, tmp_path):
    state = fit(RECIPE, {"d": digital}, tmp_path / "a", quiet=True)
    out = export_deformations(
        state.averaged, RECIPE, pack=digital, out=tmp_path / "m", n_held_out=2
    )
    about = yaml.safe_load((out / "model.yaml").read_text())
    assert 0 < about["scores"]["missed"] < about["scores"]["rms"] * 1.2
    card = (out / "card.md").read_text()
    assert "simulation alone" in card
    assert max(len(line) for line in card.splitlines()) <= 100
