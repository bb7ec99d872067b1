"""Laws of the centred Fourier transforms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.arrays.fourier import centred_fft, centred_ifft

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))


def draw(seed, shape):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 2**32 - 1))
def test_each_is_the_adjoint_and_the_inverse_of_the_other(shape, seed):
    a, b = draw(seed, shape), draw(seed + 1, shape)
    forward = np.vdot(b, centred_fft(a, axes=(0, 1)))
    backward = np.vdot(centred_ifft(b, axes=(0, 1)), a)
    np.testing.assert_allclose(forward, backward, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(centred_ifft(centred_fft(a, axes=(0, 1)), axes=(0, 1)), a)
    np.testing.assert_allclose(np.linalg.norm(centred_fft(a, axes=(0,))), np.linalg.norm(a))


@pytest.mark.parametrize("n", [6, 7])
def test_a_constant_image_is_one_sample_at_the_centre(n):
    spectrum = centred_fft(np.ones((n, n)), axes=(0, 1))
    expected = np.zeros((n, n))
    expected[n // 2, n // 2] = n
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


def test_a_centred_point_has_a_flat_spectrum_without_phase():
    point = np.zeros(8)
    point[4] = 1
    np.testing.assert_allclose(centred_fft(point, axes=(0,)), np.full(8, 1 / np.sqrt(8)))


def test_single_precision_is_kept_and_the_input_is_untouched():
    image = draw(0, (4, 6)).astype(np.complex64)
    before = image.copy()
    assert centred_fft(image, axes=(1,)).dtype == np.complex64
    assert centred_ifft(image, axes=(1,)).dtype == np.complex64
    assert centred_fft(image.real, axes=(1,)).dtype == np.complex64
    np.testing.assert_array_equal(image, before)


def test_a_transform_over_no_axis_changes_nothing():
    image = draw(0, (4, 6))
    np.testing.assert_array_equal(centred_fft(image, axes=()), image)
    np.testing.assert_array_equal(image, draw(0, (4, 6)))
