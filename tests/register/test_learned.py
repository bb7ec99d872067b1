"""Registration by networks: laws for any weights, and models that are never loaded blindly."""

import nibabel
import numpy as np
import pytest
import torch
import yaml

from popscan.modelfolder import MODEL, WEIGHTS
from popscan.records import PopscanError, SubjectError
from popscan.register import LEARNED, models_of, register
from popscan.register.architectures import build_registration
from popscan.register.learned import load_pairs, save_pairs
from popscan.register.network import STIFFNESS
from popscan.register.velocities import integrate

UNROLLED = {"levels_mm": [6.0, 3.0], "n_steps": [2, 1], "channels": [4, 6]}
#: Method -> its architecture and a small network's arguments.
NETWORKS = {
    "voxelmorph": ("pairs", {"channels": [8, 8, 12]}),
    "gradirn": ("gradirn", UNROLLED),
    "vr_net": ("vr_net", UNROLLED),
}
#: Method -> its shipped model.
SHIPPED = {"voxelmorph": "motion_cine", "gradirn": "motion_gradirn", "vr_net": "motion_vr_net"}
SPACING = (1.4, 1.6)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return per method a folder with random weights that move much."""
    folders = {}
    for method, (architecture, arguments) in NETWORKS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            network = build_registration(architecture, 0, **arguments)
            for name, parameter in network.named_parameters():
                if name != "log_weights":
                    torch.nn.init.normal_(parameter, std=0.3)
        folder = tmp_path_factory.mktemp("model") / method
        about = {"name": "tiny", "arguments": arguments}
        folders[method] = save_pairs(
            folder, network, about=about, card="x", architecture=architecture
        )
    return folders


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(models, request):
    """Return one method's folder, whose name is the method's."""
    return models[request.param]


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
    return register(*pair, method=model.name, spacing_mm=spacing, model=str(model), **options)


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
    named = models_of(model.name, {"model": str(model)})
    assert len(named["model_digest"]) == 64
    assert models_of(model.name, {"model": "motion_cine"}) != named
    with pytest.raises(PopscanError, match="no model of registration"):
        models_of(model.name, {})
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
def test_damaged_models_are_refused(models, tmp_path, name, change, message):
    for file in models["voxelmorph"].iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(change(content) if file.name == name else content)
    with pytest.raises(PopscanError, match=message):
        load_pairs(str(tmp_path))
    with pytest.raises(PopscanError, match="no model of registration"):
        load_pairs("nowhere")


def test_a_model_of_another_method_is_refused(models):
    assert set(LEARNED) == set(NETWORKS)
    for method, folder in models.items():
        for other, (architecture, _) in NETWORKS.items():
            if other != method:
                with pytest.raises(PopscanError, match=f"{architecture} is expected"):
                    load_pairs(str(folder), architecture)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": [2]}, "cannot be built"),
        ({"distance": "magic"}, "known distances"),
        ({"n_steps": [2, 10**6]}, "n_steps"),
        ({"depth": 3}, "depth"),
    ],
)
def test_models_of_steps_that_cannot_be_are_refused(models, tmp_path, change, message):
    source = models["gradirn"]
    about = yaml.safe_load((source / MODEL).read_text())
    about["arguments"] |= change
    (tmp_path / MODEL).write_text(yaml.safe_dump(about))
    (tmp_path / WEIGHTS).write_bytes((source / WEIGHTS).read_bytes())
    with pytest.raises(PopscanError, match=message):
        load_pairs(str(tmp_path), "gradirn")


@pytest.mark.parametrize("method", ["gradirn", "vr_net"])
def test_untrained_steps_descend_the_data_term(method, shapes, tmp_path):
    """Without any training the formula of the data term alone brings images together."""
    architecture, arguments = NETWORKS[method]
    network = build_registration(architecture, 0, **arguments | {"n_steps": [6, 4]})
    folder = save_pairs(
        tmp_path / method, network, card="x", architecture=architecture,
        about={"name": "plain", "arguments": arguments | {"n_steps": [6, 4]}},
    )  # fmt: skip
    points = shapes["centres"]((64, 60), SPACING)
    fixed, moving = (
        shapes["soft_ellipsoid"](points, centre, radii)[None].astype(np.float32)
        for centre, radii in (((44, 48), (26, 24)), ((45, 47), (20, 19)))
    )
    warp = run(folder, (fixed, moving))
    assert np.abs(fixed - warp.images(moving)).sum() < 0.5 * np.abs(fixed - moving).sum()
    assert (warp.jacobian() > 0).all()


def test_pairs_of_a_batch_do_not_mix(model, slices):
    whole = run(model, slices)
    alone = run(model, tuple(part[1:2] for part in slices))
    np.testing.assert_allclose(alone.displacement_mm[0], whole.displacement_mm[1], atol=1e-3)


@pytest.mark.data
@pytest.mark.parametrize("method", SHIPPED)
def test_the_shipped_model_aligns_end_systole_of_a_patient_it_never_saw(data_dir, method):
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
    warp = register(fixed, moving, method=method, spacing_mm=spacing, model=SHIPPED[method])
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
        register(fixed, moving, method=model.name, spacing_mm=SPACING)


@pytest.mark.parametrize("method", ["gradirn", "vr_net"])
@pytest.mark.parametrize("factor", [0.01, 2.5, 1000.0])
def test_grey_values_that_were_not_learned_are_refused(models, images, method, factor):
    fixed, moving = (factor * image[..., 0] for image in images)
    with pytest.raises(SubjectError, match="about 0 to 1 expected") as refused:
        register(fixed, moving, method=method, spacing_mm=SPACING, model=str(models[method]))
    assert refused.value.reason == "bad_intensities"
