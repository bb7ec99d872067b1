"""The shipped model that reconstructs: small, named, and better than k-t SENSE."""

import numpy as np
import pytest

from popscan.modelfolder import find_model
from popscan.recon import reconstruct
from popscan.recon.learned import facts_of
from popscan.recon.retrospective import simulated_kspace
from popscan.records import Scan
from recon_helpers import nrmse_of

NAME = "recon_cine"


def test_it_is_small_and_names_its_split_scores_and_training():
    folder = find_model(NAME, of="reconstruction")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    facts = facts_of(NAME, "varnet")
    assert facts.trained is not None
    assert "simulated" in facts.trained.source
    assert "Simulation alone" in (folder / "card.md").read_text()


def test_it_is_nearer_to_the_image_than_kt_sense():
    """On a heart of two discs that no training saw."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in (96, 96)), indexing="ij")
    body = 0.5 * ((x / 0.8) ** 2 + (y / 0.7) ** 2 < 1) * (1 + 0.3 * np.cos(9 * x) * np.cos(7 * y))
    radii = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(10) / 10)
    frames = [body + 0.5 * (x**2 + y**2 < r**2) for r in radii]
    array = np.stack(frames, axis=-1)[:, :, None].astype(np.float32)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(2.0, 2.0, 8.0))
    kspace = simulated_kspace(scan, acceleration=4, centre_lines=8, coils=6, seed=3)
    by_network = reconstruct(kspace, method="varnet", model=NAME)
    by_kt_sense = reconstruct(kspace, method="kt_sense")
    assert nrmse_of(by_network, array) < nrmse_of(by_kt_sense, array)
    assert by_network.meta["reconstruction"]["unlike_training"] == []


@pytest.mark.parametrize("times", [1, 10])
def test_noise_beyond_the_training_is_named(times):
    """Ten times the most noise of the training passed without a word."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in (96, 96)), indexing="ij")
    array = ((x / 0.8) ** 2 + (y / 0.7) ** 2 < 1) * (1 + 0.3 * np.cos(9 * x))
    array = np.repeat(array[:, :, None, None], 8, axis=3).astype(np.float32)
    scan = Scan(array=array, affine=np.eye(4), spacing_mm=(2.0, 2.0, 8.0))
    kspace = simulated_kspace(
        scan, acceleration=4, centre_lines=8, coils=5, noise=0.04 * times, seed=3
    )
    found = reconstruct(kspace, method="varnet", model=NAME)
    named = found.meta["reconstruction"]["unlike_training"]
    assert [words.split()[0] for words in named] == (["noise"] if times > 1 else [])
