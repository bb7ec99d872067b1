"""Laws of the operators, of conjugate gradients, of coil maps and of prewhitening."""

import numpy as np
import pytest

from popscan.arrays.fourier import centred_fft
from popscan.recon.coils import calibration_shape, centre_of, temporal_average, walsh_maps
from popscan.recon.espirit import espirit_maps
from popscan.recon.noise import prewhitened
from popscan.recon.operators import Coils, Sampling, Sense
from popscan.recon.sense import conjugate_gradients
from popscan.records import SubjectError

T, C, X, Y = 3, 4, 7, 8


def draw(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.fixture(params=["coils", "sampling", "readout", "sense"])
def operator(request, rng):
    maps = draw(rng, C, X, Y)
    mask = rng.random((T, X, Y)) < 0.5
    lines = np.broadcast_to(rng.random((T, 1, Y)) < 0.5, (T, X, Y))
    made = {
        "coils": (Coils(maps), (T, X, Y)),
        "sampling": (Sampling(mask), (T, C, X, Y)),
        "readout": (Sampling(lines, axes=(3,)), (T, C, X, Y)),
        "sense": (Sense(maps, mask), (T, X, Y)),
    }
    return made[request.param]


def test_adjoint(operator, rng):
    op, shape = operator
    a, b = draw(rng, *shape), draw(rng, T, C, X, Y)
    np.testing.assert_allclose(np.vdot(b, op.apply(a)), np.vdot(op.adjoint(b), a))


def test_linear(operator, rng):
    op, shape = operator
    a, b = draw(rng, *shape), draw(rng, *shape)
    np.testing.assert_allclose(op.apply(2j * a + b), 2j * op.apply(a) + op.apply(b), atol=1e-12)


def test_normal_is_adjoint_of_apply_and_positive(operator, rng):
    op, shape = operator
    a = draw(rng, *shape)
    expected = op.adjoint(op.apply(a))
    np.testing.assert_allclose(op.normal(a.copy()), expected, atol=1e-12)
    assert np.vdot(a, expected).real >= 0


def test_conjugate_gradients_solve_each_system_of_the_batch(rng):
    matrices = draw(rng, T, 6, 6)
    matrices = matrices @ matrices.conj().transpose(0, 2, 1) + np.eye(6)
    truth = draw(rng, T, 6)
    truth[1] = 0
    right = np.einsum("tab,tb->ta", matrices, truth)
    solution, n_steps, residual = conjugate_gradients(
        lambda x: np.einsum("tab,tb->ta", matrices, x), right, n_iterations=50, tolerance=1e-8
    )
    np.testing.assert_allclose(solution, truth, atol=1e-5)
    assert n_steps < 50
    assert residual <= 1e-8


def test_conjugate_gradients_stop_at_zero():
    solution, n_steps, residual = conjugate_gradients(
        lambda x: x, np.zeros((2, 3), dtype=np.complex64), n_iterations=5, tolerance=0.1
    )
    assert (n_steps, residual) == (0, 0.0)
    assert not solution.any()


def test_walsh_finds_the_maps_up_to_a_common_phase(cine):
    image, maps, _ = cine
    inside = image[:, :, 0, 0] > 0
    found = walsh_maps((maps * image[:, :, 0, 0]).astype(np.complex64), window=3)
    likeness = np.abs(np.sum(found.conj() * maps, axis=0))
    assert likeness[inside].min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(found, axis=0)[inside], 1, rtol=1e-4)
    assert not found[:, 0, 0].any()


def test_espirit_finds_the_maps_where_something_is(cine):
    image, maps, _ = cine
    inside = image[:, :, 0, 0] > 0
    kspace = centred_fft((maps * image[:, :, 0, 0]).astype(np.complex64), axes=(1, 2))
    found, eigenvalues = espirit_maps(centre_of(kspace, (20, 20)), inside.shape)
    likeness = np.abs(np.sum(found.conj() * maps, axis=0))
    assert likeness[inside].min() > 0.99
    assert eigenvalues[inside].min() > 0.95
    assert eigenvalues.max() < 1.001
    assert eigenvalues[:4, :4].max() < 0.9
    np.testing.assert_allclose(np.linalg.norm(found, axis=0)[inside], 1, rtol=1e-4)


def test_interleaved_frames_average_to_full_sampling(rng):
    full = draw(rng, C, X, Y).astype(np.complex64)
    frames = np.zeros((2, C, X, Y), dtype=np.complex64)
    frames[0, :, :, ::2] = full[:, :, ::2]
    frames[1, :, :, 1::2] = full[:, :, 1::2]
    np.testing.assert_allclose(temporal_average(frames), full)


def test_calibration_block_is_the_centred_full_one():
    sampled = np.zeros((20, 16), dtype=bool)
    sampled[:, ::2] = True
    sampled[:, 6:11] = True
    assert calibration_shape(sampled, limit=24) == (20, 5)
    assert calibration_shape(sampled, limit=10) == (10, 5)
    assert calibration_shape(np.zeros((4, 4), dtype=bool), limit=4) == (0, 0)


def test_prewhitening_decorrelates(rng):
    mixing = draw(rng, C, C)
    noise = np.tensordot(mixing, draw(rng, C, 40, 40, 1, 1), axes=(1, 0)).astype(np.complex64)
    covariance = mixing @ mixing.conj().T
    white = prewhitened(noise, covariance).reshape(C, -1)
    found = white @ white.conj().T / white.shape[1]
    scale = np.trace(found).real / C
    np.testing.assert_allclose(found / scale, np.eye(C), atol=0.15)
    estimated = prewhitened(noise).reshape(C, -1)
    found = estimated @ estimated.conj().T / estimated.shape[1]
    assert np.abs(found / (np.trace(found).real / C) - np.eye(C)).max() < 0.4


def test_a_bad_noise_covariance_is_refused(rng):
    data = draw(rng, C, 8, 8, 1, 1).astype(np.complex64)
    for covariance in (np.eye(C + 1), -np.eye(C)):
        with pytest.raises(SubjectError) as caught:
            prewhitened(data, covariance)
        assert caught.value.reason == "bad_noise_covariance"
