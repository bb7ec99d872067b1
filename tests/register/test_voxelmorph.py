"""Registration by a network: laws for any weights, and models that are never loaded blindly."""

import nibabel
import numpy as np
import pytest
import torch

from popscan.modelfolder import MODEL, WEIGHTS
from popscan.records import PopscanError, SubjectError
from popscan.register import models_of, register
from popscan.register.network import STIFFNESS, PairNetwork
from popscan.register.velocities import integrate
from popscan.register.voxelmorph import load_pairs, save_pairs

ARGUMENTS = {"channels": [8, 8, 12]}
SPACING = (1.4, 1.6)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a folder with random weights that move much."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = PairNetwork(**ARGUMENTS)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return save_pairs(folder, network, about={"name": "tiny", "arguments": ARGUMENTS}, card="x")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    noise = rng.random((2, 3, 46, 39, 2)).astype(np.float32)
    return noise[0], noise[1]


@pytest.fixture(scope="module")
def slices(images):
    return images[0][..., 0], images[1][..., 0]


def run(model, pair, **options):
    spacing = SPACING if pair[0].ndim == 3 else (*SPACING, 8.0)
    return register(*pair, method="voxelmorph", spacing_mm=spacing, model=str(model), **options)


def test_whatever_the_weights_exchanging_inverts_and_nothing_folds(model, slices):
    warp, back = run(model, slices), run(model, slices[::-1])
    assert np.abs(warp.displacement_mm).max() > 1.0
    np.testing.assert_allclose(back.displacement_mm, warp.inverse_mm, atol=1e-3)
    assert (warp.jacobian() > 0).all()
    again = integrate(warp.velocity_mm, slices[0].shape[1:], spacing_mm=SPACING)
    np.testing.assert_allclose(again.displacement_mm, warp.displacement_mm, atol=1e-3)


def test_equal_images_do_not_move(model, slices):
    warp = run(model, (slices[0], slices[0]))
    np.testing.assert_array_equal(warp.displacement_mm, 0)


def test_volumes_are_registered_slice_by_slice(model, images, slices):
    whole, plane = run(model, images), run(model, slices)
    np.testing.assert_allclose(whole.displacement_mm[..., 0, :2], plane.displacement_mm, atol=1e-4)
    np.testing.assert_array_equal(whole.displacement_mm[..., 2], 0)
    same = run(model, images, in_plane=True)
    np.testing.assert_allclose(same.displacement_mm, whole.displacement_mm, atol=1e-4)
    one = run(model, tuple(i[..., :1] for i in images), in_plane=True)
    np.testing.assert_allclose(one.displacement_mm, whole.displacement_mm[..., :1, :], atol=1e-4)


def test_the_stiffness_of_each_place_is_an_input(model, images):
    everywhere = run(model, images, stiffness=0.3)
    chart = np.full(images[0].shape, 0.3, np.float32)
    for options in ({}, {"in_plane": True}):
        same = run(model, images, stiffness=chart, **options)
        np.testing.assert_allclose(same.displacement_mm, everywhere.displacement_mm, atol=1e-4)
    chart[:, :20] = 0.02
    other = run(model, images, stiffness=chart)
    assert np.abs(other.displacement_mm - everywhere.displacement_mm).max() > 0.1
    for wrong in (0.0, STIFFNESS[1] * 2, np.nan):
        with pytest.raises(PopscanError, match="what the network was shown"):
            run(model, images, stiffness=wrong)
    with pytest.raises(SubjectError) as refused:
        run(model, images, stiffness=chart[:, 1:])
    assert refused.value.reason == "shape_mismatch"


def test_a_result_names_its_model(model):
    named = models_of("voxelmorph", {"model": str(model)})
    assert len(named["model_digest"]) == 64
    assert models_of("voxelmorph", {"model": "motion_cine"}) != named
    with pytest.raises(PopscanError, match="no model of registration"):
        models_of("voxelmorph", {})
    assert models_of("svf", {}) == {}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (MODEL, lambda b: b.replace(b"registration", b"reconstruction"), "kind"),
        (MODEL, lambda b: b.replace(b"- 12", b"- 13"), "do not fit"),
        (MODEL, lambda b: b.replace(b"- 12", b"- 100000"), "channels"),
        (WEIGHTS, lambda b: b[:-1] + bytes([b[-1] ^ 1]), "other weights"),
    ],
)
def test_damaged_models_are_refused(model, tmp_path, name, change, message):
    for file in model.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(change(content) if file.name == name else content)
    with pytest.raises(PopscanError, match=message):
        load_pairs(str(tmp_path))
    with pytest.raises(PopscanError, match="no model of registration"):
        load_pairs("nowhere")


@pytest.mark.data
def test_the_shipped_model_aligns_end_systole_of_a_patient_it_never_saw(data_dir):
    folder = data_dir / "acdc" / "patient001"
    info = dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines() if line)
    found = []
    for phase in ("ED", "ES"):
        stem = f"patient001_frame{int(info[phase]):02d}"
        image, labels = (nibabel.load(folder / f"{stem}{end}.nii.gz") for end in ("", "_gt"))
        array = np.asarray(image.dataobj, dtype=np.float32)[None, :, :, 2:7]
        found.append(
            (array / np.percentile(array, 99), np.asarray(labels.dataobj)[None, :, :, 2:7])
        )
    (fixed, there), (moving, here) = found
    spacing = tuple(float(s) for s in image.header.get_zooms()[:3])
    warp = register(fixed, moving, method="voxelmorph", spacing_mm=spacing, model="motion_cine")
    before, after = (
        2 * ((there == 3) & (mask == 3)).sum() / ((there == 3).sum() + (mask == 3).sum())
        for mask in (here, warp.labels(here))
    )
    assert after > max(0.92, before + 0.04)
    assert (warp.jacobian() > 0).all()


def test_images_that_cannot_be_registered_are_named(model, slices):
    fixed, moving = slices
    for reason, bad in {
        "shape_mismatch": moving[:, 1:],
        "bad_shape": moving[0],
        "non_finite_image": np.where(moving > 0.9, np.nan, moving),
        "bad_image": moving * 1e30,
    }.items():
        with pytest.raises(SubjectError) as refused:
            run(model, (fixed, bad))
        assert refused.value.reason == reason
    with pytest.raises(PopscanError, match="model"):
        register(fixed, moving, method="voxelmorph", spacing_mm=SPACING)
