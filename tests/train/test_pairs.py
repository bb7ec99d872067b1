"""Training of registration: pairs of phases, through the one trainer."""

import dataclasses

import numpy as np
import pytest
import torch

from popscan.records import LabelMap, PopscanError, Scan
from popscan.register import register
from popscan.register.learned import save_pairs
from popscan.register.network import STIFFNESS
from popscan.train.augmentation import Augmentation
from popscan.train.loop import CHECKPOINT, fit
from popscan.train.packs import INTENSITY_SCALE, Case, Pack, build_pack
from popscan.train.pairs import PairSampler
from popscan.train.recipe import Recipe, load_recipe, parse_recipe

ARGUMENTS = {"channels": [8, 12, 12]}
STILL = Augmentation(
    scale=(1.0, 1.0), stretch=0.0, turn_deg=0.0, turn_any=0.0, shift_px=2.0, gamma=0.0,
    contrast=0.0, bias=0.0, noise=0.0, elastic=0.0,
)  # fmt: skip
RECIPE = Recipe(
    name="tiny", seed=1, task="register", architecture="pairs", patch=48, batch=4, steps=40,
    architecture_arguments=ARGUMENTS, learning_rate=5e-3, warmup_steps=2, checkpoint_every=30,
    log_every=30, autocast=False, ema_decay=0.9, augmentation=STILL,
)  # fmt: skip
SIDE = 56


def slices_of(radii):
    """Two phases of discs, (phase, slice, x, y)."""
    x, y = np.meshgrid(*[np.arange(SIDE) - SIDE / 2] * 2, indexing="ij")
    return np.stack([[np.hypot(x, y) < r for r in row] for row in radii]).astype(np.uint8)


@pytest.fixture(scope="module")
def pack():
    """Two subjects of two slices that contract by a quarter."""
    labels = slices_of([[16, 14], [12, 10.5], [15, 13], [11, 9.7]]).reshape(8, SIDE, SIDE)
    image = 0.1 + 0.8 * labels + 0.01 * np.random.default_rng(0).normal(size=labels.shape)
    return Pack(
        images=(image * INTENSITY_SCALE).astype(np.int16), labels=3 * labels,
        unit=np.repeat(["a", "b"], 4), frame=np.tile([0, 0, 5, 5], 2).astype(np.int32),
        slice_index=np.tile([0, 1], 4).astype(np.int32), usable=np.ones(8, bool), spacing_mm=1.5,
    )  # fmt: skip


#: Small networks of the other architectures.
STEPS = {"levels_mm": [6.0, 3.0], "n_steps": [2, 2], "channels": [8, 8]}
RECIPES = {
    "voxelmorph": RECIPE,
    **{
        name: dataclasses.replace(
            RECIPE, name=name, architecture=name, architecture_arguments=STEPS, steps=12
        )
        for name in ("gradirn", "vr_net")
    },
}


@pytest.fixture(scope="module", params=list(RECIPES))
def trained(pack, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("training")
    return fit(RECIPES[request.param], {"discs": pack}, folder, quiet=True), request.param


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64])
def test_labels_of_any_type_that_files_have_are_packed(dtype):
    """ACDC's are uint16, whose largest torch cannot find."""
    labels = 3 * slices_of([[16, 14], [12, 10]]).transpose(2, 3, 1, 0)
    scan = Scan(array=labels.astype(np.float32), affine=np.eye(4), spacing_mm=(1.5, 1.5, 8.0))
    case = Case(unit="a", scan=scan, labels=LabelMap(array=labels.astype(dtype), frames=(0, 1)))
    pack = build_pack([case], spacing_mm=1.5, size=SIDE)
    assert pack.labels.dtype == np.uint8
    assert pack.labels.max() == 3


def test_pairs_are_two_phases_of_one_slice(pack):
    sampler = PairSampler({"p": pack}, {}, how=STILL, patch=48, n_labels=4)
    assert {tuple(row) for row in sampler.rows.tolist()} == {
        (0, 2), (2, 0), (1, 3), (3, 1), (4, 6), (6, 4), (5, 7), (7, 5)}  # fmt: skip
    examples = sampler.draw(16, torch.Generator().manual_seed(0))
    area = examples.labels[:, :, 2].sum(dim=(2, 3))
    ratio = (area[:, 0] / area[:, 1]).sqrt().numpy()
    np.testing.assert_allclose(np.maximum(ratio, 1 / ratio), 4 / 3, rtol=0.06)
    assert examples.stiffness.min() >= STIFFNESS[0]
    assert examples.stiffness.max() <= STIFFNESS[1] * 1.0001
    uniform = examples.stiffness.flatten(1).std(dim=1) < 1e-6
    assert 0 < uniform.sum() < 16


def test_slices_without_a_second_phase_are_refused(pack):
    alone = dataclasses.replace(pack, frame=np.zeros(8, np.int32))
    with pytest.raises(PopscanError, match="second phase"):
        PairSampler({"p": alone}, {}, how=STILL, patch=48, n_labels=4)
    with pytest.raises(PopscanError, match="not there"):
        PairSampler({"p": pack}, {"q": 1.0}, how=STILL, patch=48, n_labels=4)


def test_training_learns_to_register_and_stiffer_moves_less(trained, tmp_path):
    state, method = trained
    recipe = RECIPES[method]
    model = save_pairs(
        tmp_path / "m", state.averaged, card="x", architecture=recipe.architecture,
        about={"name": "m", "arguments": recipe.architecture_arguments},
    )  # fmt: skip
    fixed, moving = slices_of([[15], [11.5]]).astype(np.float32)[:, :, 4:-4, 4:-4]
    moved = {}
    for stiffness in STIFFNESS:
        warp = register(
            fixed, moving, method=method, spacing_mm=(1.5, 1.5), model=str(model),
            stiffness=stiffness,
        )  # fmt: skip
        moved[stiffness] = np.abs(warp.displacement_mm).max()
        if stiffness == STIFFNESS[0]:
            after = np.abs(fixed - warp.images(moving)).sum()
            assert after < 0.5 * np.abs(fixed - moving).sum()
    assert moved[STIFFNESS[1]] < moved[STIFFNESS[0]]


@pytest.mark.parametrize("method", list(RECIPES))
def test_a_training_goes_on_where_it_stopped(pack, tmp_path, method):
    short = dataclasses.replace(RECIPES[method], steps=6, checkpoint_every=3)
    whole = fit(short, {"discs": pack}, tmp_path / "a", quiet=True)
    fit(short, {"discs": pack}, tmp_path / "b", stop_after=3, quiet=True)
    assert (tmp_path / "b" / CHECKPOINT).is_file()
    parts = fit(short, {"discs": pack}, tmp_path / "b", quiet=True)
    for one, other in zip(whole.averaged.parameters(), parts.averaged.parameters(), strict=True):
        assert torch.equal(one, other)


def test_recipes_of_pairs_go_with_their_task_alone():
    for shipped in ("motion_cine", "motion_gradirn", "motion_vr_net"):
        assert load_recipe(shipped).task == "register"
    with pytest.raises(PopscanError, match="goes with task register alone"):
        parse_recipe({"name": "x", "architecture": "pairs"})
    with pytest.raises(PopscanError, match="goes with task register alone"):
        parse_recipe({"name": "x", "task": "register"})
