"""UK Biobank's T1 sequence on a phantom of nine vials, beside the vendor's own map."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.relaxometry import fit_recovery, fit_shmolli, signs_from_phase
from shmolli_phantom import FOLDER, read_phantom

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def phantom(data_dir):
    if not (data_dir / FOLDER).is_dir():
        pytest.skip(f"{FOLDER} is not among the data")
    return read_phantom(data_dir)


def test_all_nine_vials_are_within_a_millisecond_of_the_vendor_and_seven_samples_are_not(phantom):
    assert len(phantom.vials) == 9
    inside = np.any(phantom.vials, axis=0)
    samples = phantom.magnitude[:, inside]
    chosen, every = (fit(samples, phantom.times_ms) for fit in (fit_shmolli, fit_recovery))
    signs = signs_from_phase(phantom.phase_rad[:, inside], phantom.times_ms)
    phased = fit_shmolli(samples, phantom.times_ms, signs=signs)
    np.testing.assert_array_equal(phased.t1_ms, chosen.t1_ms)
    worst = []
    for vial in phantom.vials:
        own, vendor = vial[inside], phantom.vendor_ms[vial].mean()
        assert abs(chosen.t1_ms[own].mean() - vendor) < 1.0
        assert np.isfinite(chosen.t1_ms[own]).all()
        worst.append(every.t1_ms[own].mean() - vendor)
    assert min(worst) < -1000.0
    assert np.median(worst) < -50.0
