"""The cascade of networks: consistent with the data, trainable, and never loaded blindly."""

import numpy as np
import pytest
import torch

from popscan.arrays.fourier import centred_fft
from popscan.arrays.sampling import sampling_mask
from popscan.recon import models_of, reconstruct
from popscan.recon.cascade import Cascade
from popscan.recon.learned import load_cascade, save_cascade
from popscan.records import PopscanError
from popscan.train.kspace import SweepSampler, draw_mask, sweep_places, undersampled_loss
from popscan.train.loop import CHECKPOINT, fit
from popscan.train.recipe import Recipe, load_recipe
from popscan.train.sweeps import SweepPack, interpolated
from popscan.train.undersampling import Undersampling
from recon_helpers import nrmse_of

ARGUMENTS = {"channels": [8, 8], "layers": 3, "fold": 2}
EASY = Undersampling(single_frame=1.0, single_coil=1.0, noise_free=1.0, accelerations=(3.0, 4.0))
RECIPE = Recipe(
    name="tiny", seed=1, task="undersampled", architecture="cascade",
    architecture_arguments=ARGUMENTS, patch=16, batch=2, steps=8, learning_rate=5e-3,
    warmup_steps=2, checkpoint_every=4, log_every=4, autocast=False, ema_decay=0.9,
    undersampling=EASY,
)  # fmt: skip


def disc(radius, shape=(40, 36)):
    x, y = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    return 0.3 + 0.7 * (np.hypot(x, y) < radius)


@pytest.fixture(scope="module")
def packs():
    slices = [
        interpolated(disc(r).astype(np.float32), disc(r - 4).astype(np.float32)) for r in (10, 13)
    ]
    pack = SweepPack(slices=[s.astype(np.float16) for s in slices], unit=["a", "b"])
    return {"discs": pack}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return a cascade of random weights, as a bundle."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Cascade(**ARGUMENTS)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    return save_cascade(folder, network, about={"name": "tiny", "arguments": ARGUMENTS}, card="x")


@pytest.fixture
def one_coil(cine, encoder):
    image, _, _ = cine
    mask = sampling_mask(
        40, 4, acceleration=3, acs_lines=6, pattern="random", rng=np.random.default_rng(1)
    )
    return image, encoder(image, np.ones((1, 48, 40), np.complex64), mask)


def test_of_one_coil_the_acquired_samples_are_kept(bundle, packs):
    network = load_cascade(str(bundle))
    how = Undersampling(single_coil=1.0)
    sampler = SweepSampler(packs, {}, how=how, width=16)
    batch = sampler.draw(2, torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = network(batch.image, batch.shared, batch.consistent)
    assert not torch.allclose(found, batch.image, atol=1e-3)
    again = batch.encoding.adjoint(batch.encoding.apply(found[:, None]))[:, 0]
    torch.testing.assert_close(again, batch.image, atol=1e-5, rtol=0)


def test_a_fresh_cascade_changes_nothing(packs):
    batch = SweepSampler(packs, {}, how=Undersampling(), width=16).draw(
        2, torch.Generator().manual_seed(5)
    )
    found = Cascade(**ARGUMENTS)(batch.image, batch.shared, batch.consistent)
    # Of several coils, data consistency is a step of its own.
    expected = batch.image
    for _ in ARGUMENTS["channels"]:
        expected = batch.consistent(expected)
    torch.testing.assert_close(found, expected)


def test_a_training_goes_on_where_it_was_interrupted(packs, tmp_path):
    whole = fit(RECIPE, packs, tmp_path / "whole", quiet=True)
    fit(RECIPE, packs, tmp_path / "parts", stop_after=4, quiet=True)
    assert (tmp_path / "parts" / CHECKPOINT).is_file()
    parts = fit(RECIPE, packs, tmp_path / "parts", quiet=True)
    for name, value in whole.averaged.state_dict().items():
        torch.testing.assert_close(parts.averaged.state_dict()[name], value, rtol=0, atol=0)


def test_the_loss_can_be_learned_away(packs):
    batch = SweepSampler(packs, {}, how=EASY, width=16).draw(2, torch.Generator().manual_seed(9))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Cascade(channels=[16], layers=3, fold=2)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(80):
        loss = undersampled_loss(network, batch, autocast=False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("width", [40, 37])
def test_a_bundle_reconstructs_series_of_any_size(bundle, cine, encoder, width):
    image, maps, _ = cine
    part, coils = image[:, :width], maps[:, :, :width]
    mask = sampling_mask(
        width, 4, acceleration=2, acs_lines=12, pattern="random", rng=np.random.default_rng(1)
    )
    scan = reconstruct(encoder(part, coils, mask), method="dc_cnn", model=str(bundle))
    assert scan.array.shape == part.shape
    assert nrmse_of(scan, part) < 0.5
    assert (
        scan.meta["reconstruction"]["model_digest"]
        == models_of("dc_cnn", {"model": str(bundle)})["model_digest"]
    )


def test_units_of_the_scanner_do_not_matter(bundle, one_coil):
    from dataclasses import replace

    _, kspace = one_coil
    one = reconstruct(kspace, method="dc_cnn", model=str(bundle)).array
    large = replace(kspace, data=kspace.data * np.float32(1024))
    again = reconstruct(large, method="dc_cnn", model=str(bundle)).array
    np.testing.assert_allclose(again / 1024, one, atol=1e-4 * one.max())


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("weights.safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1]), "other weights"),
        ("model.yaml", lambda b: b.replace(b"layers: 3", b"layers: 4"), "do not fit"),
        ("model.yaml", lambda b: b.replace(b"fold: 2", b"fold: 99"), "fold"),
        ("model.yaml", lambda b: b.replace(b"cascade", b"pickle"), "architecture"),
    ],
)
def test_altered_bundles_are_refused(bundle, tmp_path, file, change, expected):
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_bytes(change((bundle / file).read_bytes()))
    with pytest.raises(PopscanError, match=expected):
        load_cascade(str(tmp_path))


def test_an_unknown_model_is_named():
    with pytest.raises(PopscanError, match="'nowhere'"):
        load_cascade("nowhere")


def test_packs_of_another_task_are_refused(packs, tmp_path):
    with pytest.raises(PopscanError, match="another task"):
        fit(Recipe(name="labels"), packs, tmp_path)


def test_what_is_simulated_stays_within_the_recipe():
    how = load_recipe("recon_cine").undersampling
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = draw_mask(120, 5, how, rng)
        kept = mask.sum(axis=0)
        assert (kept == kept[0]).all()
        assert 120 / how.accelerations[1] - 1 <= kept[0] <= 120 / how.accelerations[0] + 1
        places = sweep_places(how.frames, how, rng)
        assert places.min() >= 0
        assert places.max() <= 6


def test_the_motion_turns_where_the_recipe_says():
    how = Undersampling(cycle_frames=(40, 40), outward=(0.5, 0.5), least_return=0.5)
    places = sweep_places(40, how, np.random.default_rng(3))
    # As long there as back, without rest: in a whole cycle both halves are seen equally often.
    first = int(np.argmin(places))
    cycle = np.roll(places, -first)
    assert int(np.argmax(cycle)) == pytest.approx(20, abs=1)
    np.testing.assert_allclose(cycle[1:20], cycle[:20:-1], atol=0.5)


def test_interpolated_ends_are_the_images():
    first, last = (disc(r).astype(np.float32) for r in (12, 9))
    sweep = interpolated(first, last)
    np.testing.assert_array_equal(sweep[0], first)
    np.testing.assert_array_equal(sweep[-1], last)
    areas = (sweep > 0.65).sum(axis=(1, 2))
    assert (np.diff(areas) <= 0).all()
    spectrum = np.abs(centred_fft(sweep, axes=(1, 2)))
    assert np.isfinite(spectrum).all()
