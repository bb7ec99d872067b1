"""Real coils and real noise: a fully sampled brain, undersampled in retrospect."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from popscan.arrays.fourier import centred_ifft
from popscan.arrays.image_quality import fitted_gain, nrmse, score_image
from popscan.io import read_cfl
from popscan.recon import reconstruct
from popscan.recon.coils import centre_of, low_resolution_images, walsh_maps
from popscan.recon.espirit import espirit_maps
from popscan.records import KSpace

kspace_io = pytest.importorskip("popscan.io.kspace")
pytestmark = pytest.mark.data


def one_slice(data):
    """Coil images of shape (coil, kx, ky) as a k-space of one slice and one frame."""
    return KSpace(
        data=np.ascontiguousarray(data[..., np.newaxis, np.newaxis]),
        mask=data.any(axis=(0, 1))[:, np.newaxis],
        affine=np.eye(4),
        spacing_mm=(1.0, 1.0, 1.0),
        view="other",
    )


@pytest.fixture(scope="module")
def brain(data_dir):
    data = kspace_io.read_kspace_mat(data_dir / "kspace" / "brain_16coil_full.mat")
    return one_slice(data[:, 0])


@pytest.mark.parametrize(("acceleration", "largest_ratio"), [(2, 0.25), (3, 0.25), (4, 0.35)])
def test_cg_sense_is_far_better_than_zero_filling(brain, acceleration, largest_ratio):
    reference = reconstruct(brain, method="zero_filled")
    n_lines = brain.data.shape[2]
    mask = np.zeros_like(brain.mask)
    mask[::acceleration] = True
    mask[n_lines // 2 - 12 : n_lines // 2 + 12] = True
    fewer = replace(brain, data=brain.data * mask[None, None, :, None], mask=mask)
    errors = {
        method: score_image(reconstruct(fewer, method=method), reference)["nrmse"]
        for method in ("zero_filled", "cg_sense")
    }
    assert errors["cg_sense"] < largest_ratio * errors["zero_filled"]


def test_a_randomly_sampled_brain_gives_a_head_on_a_dark_background(data_dir):
    data = read_cfl(data_dir / "kspace" / "brain_8coil_us")
    scan = reconstruct(one_slice(np.moveaxis(np.squeeze(data), -1, 0)), method="cg_sense")
    image = scan.array[:, :, 0, 0]
    n_x, n_y = image.shape
    head = image[n_x // 3 : -n_x // 3, n_y // 3 : -n_y // 3].mean()
    corners = np.concatenate([image[:15, :15], image[-15:, -15:]]).mean()
    assert np.isfinite(image).all()
    assert corners < 0.2 * head


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs BART (Debian: bart)")
def test_espirit_combines_the_coils_as_ecalib_of_bart_does(data_dir, tmp_path):
    data = kspace_io.read_kspace_mat(data_dir / "kspace" / "brain_16coil_full.mat")[:, 0]
    lines = f"# Dimensions\n{data.shape[1]} {data.shape[2]} 1 {data.shape[0]}\n"
    (tmp_path / "k.hdr").write_text(lines)
    data.transpose(1, 2, 0).astype("<c8").ravel(order="F").tofile(tmp_path / "k.cfl")
    command = ["bart", "ecalib", "-m1", "-c0", "-r24", tmp_path / "k", tmp_path / "maps"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = np.squeeze(read_cfl(tmp_path / "maps")).transpose(2, 0, 1)
    ours, _ = espirit_maps(centre_of(data, (24, 24)), data.shape[1:])
    fast = walsh_maps(low_resolution_images(data, width=24)[0])
    images = centred_ifft(data, axes=(1, 2))
    target = np.abs(np.sum(theirs.conj() * images, axis=0))
    for maps in (ours, fast):
        combined = np.abs(np.sum(maps.conj() * images, axis=0))
        assert nrmse(combined * fitted_gain(combined, target), target) < 0.01
