"""Coil maps and SENSE beside SigPy's: the same problem has the same answer."""

from __future__ import annotations

import numpy as np
import pytest
from sigpy.mri import app

from popscan.recon.coils import centre_of, temporal_average
from popscan.recon.espirit import espirit_maps
from popscan.recon.maps import coil_maps
from popscan.recon.sense import cg_sense

WIDTH = 20


def off(lam: float) -> float:
    """What single precision and a relative residual of 1e-6 leave, of the largest magnitude."""
    return 2e-5 + 3e-6 / lam


def sigpy_maps(kspace: np.ndarray, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Maps (coil, x, y), nowhere cut, and eigenvalues (x, y) of a k-space (coil, kx, ky)."""
    calibrated = app.EspiritCalib(
        kspace, calib_width=WIDTH, crop=0, output_eigenvalue=True, show_pbar=False, **options
    )
    maps, eigenvalues = calibrated.run()
    return maps, eigenvalues.reshape(kspace.shape[1:])


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize(("kernel", "threshold"), [(6, 0.02), (5, 0.05)])
def test_espirit(cine, encoder, rng, noise, kernel, threshold):
    """Maps are unique up to one phase per pixel: they are parallel where there is an object."""
    image, maps, _ = cine
    full = np.ones((40, 4), dtype=bool)
    kspace = encoder(image, maps, full, noise=noise, rng=rng).data[:, :, :, 0, 0]
    ours, values = espirit_maps(
        centre_of(kspace, (WIDTH, WIDTH)),
        kspace.shape[1:],
        kernel_width=kernel,
        threshold=threshold,
        n_iterations=100,
    )
    theirs, other = sigpy_maps(kspace, kernel_width=kernel, thresh=threshold)
    body = image[:, :, 0, 0] > 0
    np.testing.assert_allclose(values[body], other[body], atol=2e-3)
    theirs = theirs / np.linalg.norm(theirs, axis=0)
    agree = np.abs(np.einsum("cxy,cxy->xy", ours.conj(), theirs))
    assert agree[body].min() > 0.999
    # SigPy's first coil is real; so is ours once its phase is taken off.
    phase = np.exp(-1j * np.angle(ours[0]))
    np.testing.assert_allclose((ours * phase)[:, body], theirs[:, body], atol=0.03)


@pytest.mark.parametrize("lam", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_sense(cine, encoder, rng, lam, noise):
    image, maps, mask = cine
    kspace = encoder(image, maps, mask, noise=noise, rng=rng)
    scan = cg_sense(kspace, lam=lam, prior="zero", n_iterations=300, tolerance=1e-6)
    samples = np.moveaxis(kspace.data[:, :, :, 0], -1, 0)
    found, _ = coil_maps(temporal_average(samples), method="espirit", width=WIDTH)
    for t, frame in enumerate(samples):
        recon = app.SenseRecon(frame, found, lamda=lam, max_iter=300, tol=1e-9, show_pbar=False)
        theirs = np.abs(recon.run())
        np.testing.assert_allclose(
            scan.array[:, :, 0, t], theirs, atol=off(lam) * theirs.max(), rtol=0
        )


def test_another_weight_is_another_answer(cine, encoder, rng):
    """What `test_sense` allows is far less than what a factor of two in the weight makes."""
    image, maps, mask = cine
    kspace = encoder(image, maps, mask, noise=0.02, rng=rng)
    one, other = (
        cg_sense(kspace, lam=lam, prior="zero", n_iterations=300, tolerance=1e-6).array
        for lam in (0.03, 0.06)
    )
    assert np.abs(one - other).max() > 50 * off(0.03) * one.max()
