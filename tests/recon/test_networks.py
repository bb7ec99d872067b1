"""Networks on whole series: laws of a method, of a fresh network, and what is refused or noted."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from popscan.arrays.sampling import sampling_mask
from popscan.recon import LEARNED, METHODS, models_of, reconstruct
from popscan.recon.architectures import build_reconstruction
from popscan.recon.learned import (
    ARCHITECTURES,
    Trained,
    load_network,
    save_network,
    unlike_training,
)
from popscan.recon.noise import edge_noise_sd
from popscan.recon.retrospective import simulated_kspace
from popscan.recon.spacetime import SpaceTime
from popscan.records import PopscanError, Scan, SubjectError
from recon_helpers import nrmse_of

ARGUMENTS = {
    "varnet": {"channels": [8, 8], "layers": 3, "fold": 2},
    "kt_sense_net": {"channels": 8, "layers": 3, "fold": 2, "n_iterations": 10},
    "dautomap": {"channels": 8, "layers": 3, "fold": 2, "sides": [48, 44]},
    "dc_cnn": {"channels": [8, 8], "layers": 3, "fold": 2},
}
TRAINED = {
    "accelerations": [1.6, 10.0], "coils": [4, 8], "frames": [4, 16], "single_coil": True,
    "single_frame": True, "source": "discs",
}  # fmt: skip


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Return bundles by method and kind: ``fresh`` as initialised, ``random`` weights."""
    folder, made = tmp_path_factory.mktemp("bundles"), {}
    for method, arguments in ARGUMENTS.items():
        for kind in ("fresh", "random"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                network = build_reconstruction(ARCHITECTURES[method], 0, **arguments)
                if kind == "random":
                    for name, values in network.named_parameters():
                        if "lam" not in name and "steps" not in name:
                            torch.nn.init.normal_(values, std=0.03)
            about = {
                "architecture": ARCHITECTURES[method], "name": method, "arguments": arguments,
                "trained": TRAINED,
            }  # fmt: skip
            made[method, kind] = str(
                save_network(folder / f"{method}-{kind}", network, about=about, card="x")
            )
    return made


@pytest.fixture(scope="session")
def acquired(cine, encoder):
    """Return images and their k-space by method: several coils, or one for dautomap."""
    image, maps, mask = cine
    one = sampling_mask(
        40, 4, acceleration=2, acs_lines=8, pattern="random", rng=np.random.default_rng(2)
    )
    single = encoder(image, np.ones((1, 48, 40), np.complex64), one)
    several = encoder(image, maps, mask)
    return {m: single if m == "dautomap" else several for m in LEARNED}


EVERY = pytest.mark.parametrize("method", LEARNED)


def made(method, kspace, bundles, kind="random"):
    return reconstruct(kspace, method=method, model=bundles[method, kind])


def test_every_learned_method_is_listed():
    assert set(LEARNED) == set(ARCHITECTURES) <= set(METHODS)


@EVERY
def test_full_sampling_gives_the_image_back(cine, encoder, acquired, bundles, method):
    """A fresh network changes nothing that the data decide."""
    image, maps, mask = cine
    maps = np.ones((1, 48, 40), np.complex64) if method == "dautomap" else maps
    scan = made(method, encoder(image, maps, np.ones_like(mask)), bundles, "fresh")
    assert nrmse_of(scan, image) < 0.02


@EVERY
def test_bytes_geometry_units_and_scale(acquired, bundles, method):
    kspace = acquired[method]
    before = kspace.data.copy()
    first, second = (made(method, kspace, bundles) for _ in range(2))
    assert first.array.tobytes() == second.array.tobytes()
    np.testing.assert_array_equal(kspace.data, before)
    np.testing.assert_array_equal(first.affine, kspace.affine)
    np.testing.assert_array_equal(first.frame_times_ms, kspace.frame_times_ms)
    larger = made(method, replace(kspace, data=kspace.data * np.float32(1000)), bundles)
    np.testing.assert_allclose(
        larger.array / 1000, first.array, atol=2e-3 * float(first.array.max())
    )


@EVERY
def test_the_model_and_how_the_data_differ_from_training_are_noted(acquired, bundles, method):
    done = made(method, acquired[method], bundles).meta["reconstruction"]
    assert done["method"] == done["model"] == method
    given = {"model": bundles[method, "random"]}
    assert {"model_digest": done["model_digest"]} == models_of(method, given)
    assert done["unlike_training"] == []


@EVERY
@pytest.mark.parametrize(
    "fault", ["non_finite_kspace", "no_acquired_lines", "empty_kspace", "bad_kspace_shape"]
)
def test_unusable_data_fail_with_a_reason(acquired, bundles, method, fault):
    kspace = acquired[method]
    data, mask = kspace.data.copy(), kspace.mask.copy()
    if fault == "non_finite_kspace":
        data[0, 3, 20, 0, 1] = np.nan
    elif fault == "no_acquired_lines":
        mask[:, 2] = False
    elif fault == "empty_kspace":
        data[:] = 0
    else:
        mask = mask[:-1]
    with pytest.raises(SubjectError) as caught:
        made(method, replace(kspace, data=data, mask=mask), bundles)
    assert caught.value.reason == fault


@EVERY
def test_an_empty_slice_is_empty_and_noted(acquired, bundles, method):
    kspace = acquired[method]
    both = np.concatenate([kspace.data, np.zeros_like(kspace.data)], axis=3)
    scan = made(method, replace(kspace, data=both), bundles)
    assert scan.meta["reconstruction"]["empty_slices"] == [1]
    assert not scan.array[:, :, 1].any()
    one = made(method, kspace, bundles)
    np.testing.assert_allclose(scan.array[:, :, :1], one.array, atol=1e-4)


def test_a_fresh_kt_network_is_kt_sense(acquired, bundles):
    found = made("kt_sense_net", acquired["kt_sense_net"], bundles, "fresh")
    expected = reconstruct(acquired["kt_sense_net"], method="kt_sense")
    np.testing.assert_allclose(found.array, expected.array, atol=2e-3)  # half-precision weights


def test_a_fresh_variational_network_comes_nearer_to_the_image_than_its_start(
    cine, acquired, bundles
):
    found = made("varnet", acquired["varnet"], bundles, "fresh")
    start = reconstruct(acquired["varnet"], method="cs_tv", lam=0.001, lam_time=0.005)
    assert nrmse_of(found, cine[0]) <= nrmse_of(start, cine[0]) + 1e-4


def test_a_fresh_domain_transform_is_the_inverse_fourier_transform(acquired, bundles):
    found = made("dautomap", acquired["dautomap"], bundles, "fresh")
    expected = reconstruct(acquired["dautomap"], method="zero_filled")
    np.testing.assert_allclose(found.array, expected.array, atol=1e-4)


@pytest.mark.parametrize("method", ["varnet", "kt_sense_net"])
def test_frames_form_a_cycle(acquired, bundles, method):
    """Where the cycle begins does not matter."""
    kspace = acquired[method]
    plain = made(method, kspace, bundles).array
    data, mask = np.roll(kspace.data, 1, axis=4), np.roll(kspace.mask, 1, axis=1)
    rolled = made(method, replace(kspace, data=data, mask=mask), bundles).array
    np.testing.assert_allclose(rolled, np.roll(plain, 1, axis=3), atol=2e-3)


def test_channels_see_the_neighbouring_frames_and_no_others():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SpaceTime(2, 2, channels=16, layers=3, fold=2)
        torch.nn.init.normal_(network.layers[-1].weight)
    frames = torch.zeros(1, 9, 2, 8, 7)
    still = network(frames)
    frames[0, 4] = 1
    moved = (network(frames) - still).abs().flatten(2).amax(dim=2)[0] > 1e-6
    # Two layers behind the first: two frames to either side.
    assert moved.tolist() == [False, False, *[True] * 5, False, False]
    torch.testing.assert_close(network(frames.roll(2, 1)), network(frames).roll(2, 1))


@pytest.mark.parametrize("method", ["varnet", "kt_sense_net"])
def test_lines_that_are_left_out_do_not_count(acquired, bundles, method):
    kspace = acquired[method]
    left_out = np.zeros((40, 1, 4), bool)
    left_out[[3, 30], 0, 1] = kspace.mask[[3, 30], 1]
    spoilt = kspace.data.copy()
    spoilt[:, :, [3, 30], 0, 1] *= 50
    given = [replace(kspace, data=data, left_out=left_out) for data in (kspace.data, spoilt)]
    clean, found = (made(method, one, bundles).array for one in given)
    # They still count for the coil maps, which are relative: the images stay near.
    assert np.abs(found - clean).mean() < 0.05 * clean.mean()


@EVERY
def test_single_frames_are_served_or_refused(acquired, bundles, method):
    kspace = acquired[method]
    one = replace(kspace, data=kspace.data[..., :1], mask=kspace.mask[:, :1], frame_times_ms=None)
    if method == "kt_sense_net":
        with pytest.raises(SubjectError) as caught:
            made(method, one, bundles)
        assert caught.value.reason == "single_frame"
    else:
        assert made(method, one, bundles).array.shape == (48, 40, 1, 1)


def test_dautomap_refuses_several_coils_and_larger_matrices(acquired, bundles, encoder):
    with pytest.raises(SubjectError) as caught:
        made("dautomap", acquired["varnet"], bundles)
    assert caught.value.reason == "several_coils"
    wide = np.ones((48, 45, 1, 2), np.float32)
    kspace = encoder(wide, np.ones((1, 48, 45), np.complex64), np.ones((45, 2), bool))
    with pytest.raises(SubjectError, match="48 x 45") as caught:
        made("dautomap", kspace, bundles)
    assert caught.value.reason == "matrix_too_large"


@pytest.mark.parametrize(
    ("method", "large"),
    [
        ("dc_cnn", {"channels": [512] * 32, "layers": 32, "fold": 8}),
        ("varnet", {"channels": [512] * 32, "layers": 32, "fold": 8}),
        ("kt_sense_net", {"channels": 512, "n_iterations": 100, "layers": 32, "fold": 8}),
        ("dautomap", {"channels": 512, "layers": 32, "fold": 8, "sides": [1024, 1024]}),
    ],
)
def test_a_network_larger_than_its_weights_is_never_built(
    bundles, method, large, tmp_path, monkeypatch
):
    folder = tmp_path / "large"
    shutil.copytree(bundles[method, "fresh"], folder)
    about = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump({**about, "arguments": large})
    (folder / "model.yaml").write_text(text, encoding="utf-8")

    def refused(layer):
        assert layer.weight.device.type == "meta", "memory was allocated"

    monkeypatch.setattr(torch.nn.modules.conv._ConvNd, "reset_parameters", refused)
    with pytest.raises(PopscanError, match="do not fit"):
        load_network(str(folder), method)


def test_a_model_of_another_method_is_refused(acquired, bundles):
    with pytest.raises(PopscanError, match="is for method dc_cnn, not for varnet"):
        reconstruct(acquired["varnet"], method="varnet", model=bundles["dc_cnn", "fresh"])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((4.0, 6, 12), []),
        ((10.1, 1, 1), []),
        ((4.0, 32, 60), []),
        ((12.0, 6, 12), ["acceleration 12.0 (trained on 1.6 to 10)"]),
        ((1.58, 6, 12), []),
        ((1.0, 6, 12), ["acceleration 1.0 (trained on 1.6 to 10)"]),
        ((4.0, 2, 12), ["2 coils (trained on 4 to 8, or one)"]),
        ((4.0, 64, 12), ["64 coils (trained on 4 to 8, or one)"]),
        ((4.0, 6, 2), ["2 frames (trained on 4 to 16, or one)"]),
    ],
)
def test_what_was_not_trained_on_is_named(numbers, expected):
    acceleration, coils, frames = numbers
    found = unlike_training(
        Trained(**TRAINED), acceleration=acceleration, coils=coils, frames=frames
    )
    assert found == expected


@pytest.mark.parametrize(
    ("lines", "kept", "expected"),
    [
        (45, 4, []),  # 11.2 for the 10 that was asked for
        (45, 3, ["acceleration 15.0 (trained on 1.6 to 10)"]),
        (208, 20, []),
        (208, 19, ["acceleration 10.9 (trained on 1.6 to 10)"]),
        (13, 9, []),  # 1.44 for 1.6
        (13, 13, ["acceleration 1.0 (trained on 1.6 to 10)"]),
    ],
)
def test_an_acceleration_leaves_whole_lines(lines, kept, expected):
    found = unlike_training(
        Trained(**TRAINED), acceleration=lines / kept, coils=6, frames=12, lines=lines
    )
    assert found == expected


@pytest.mark.parametrize(("noise", "warned"), [(0.0, False), (0.045, False), (0.06, True)])
def test_more_noise_than_in_training_is_named(noise, warned):
    numbers = {"acceleration": 4.0, "coils": 6, "frames": 12, "noise": noise}
    assert bool(unlike_training(Trained(**TRAINED), **numbers)) is warned
    much = Trained(**TRAINED, noise=(0.0, 0.1))
    assert unlike_training(much, **numbers) == []


@pytest.mark.parametrize("acceleration", [2, 8])
@pytest.mark.parametrize("noise", [0.04, 0.4])
def test_noise_is_measured_in_the_corners_of_k_space(acceleration, noise):
    """Near to what was added, also with empty ends, unequal coils and a dead one."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in (128, 112)), indexing="ij")
    disc = 100.0 * ((x / 0.7) ** 2 + (y / 0.6) ** 2 < 1) * (1 + 0.5 * np.cos(9 * x))
    array = np.repeat(disc[:, :, None, None], 3, axis=3).astype(np.float32)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(1.0, 1.0, 8.0))
    kspace = simulated_kspace(
        scan, acceleration=acceleration, centre_lines=6, coils=4, noise=noise, seed=5
    )
    sd = noise * float(np.percentile(array, 99))
    assert edge_noise_sd(kspace) == pytest.approx(sd, rel=0.1)
    data = np.concatenate([2 * kspace.data, 0 * kspace.data[:1]])
    data[:, :9] = 0
    assert edge_noise_sd(replace(kspace, data=data)) == pytest.approx(2 * sd, rel=0.2)
    data[0] *= 10
    assert edge_noise_sd(replace(kspace, data=data)) > 8 * sd
    assert np.isnan(edge_noise_sd(replace(kspace, data=0 * data)))


def test_one_frame_is_named_where_none_was_trained_on():
    trained = Trained(**{**TRAINED, "single_frame": False})
    found = unlike_training(trained, acceleration=3.0, coils=5, frames=1)
    assert found == ["one frame (trained on 4 to 16)"]
    (unknown,) = unlike_training(None, acceleration=3.0, coils=5, frames=1)
    assert "does not say" in unknown
