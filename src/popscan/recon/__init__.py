"""Reconstruction: multi-coil k-space to one image series.

Every method takes a `KSpace` and its options as keyword-only arguments, and returns a `Scan` with
the geometry, times and meta of the k-space; ``meta["reconstruction"]`` says what was done.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from popscan import methods
from popscan.records import KSpace, Scan, SubjectError

#: Method name -> function; strings, so that a method's imports load only once it is chosen.
METHODS = {
    "zero_filled": "popscan.recon.zero_filled:zero_filled",
    "cg_sense": "popscan.recon.sense:cg_sense",
    "cg_nufft": "popscan.recon.nufft:cg_nufft",
    "cs_wavelet": "popscan.recon.wavelet:cs_wavelet",
    "cs_tv": "popscan.recon.variation:cs_tv",
    "view_sharing": "popscan.recon.dynamic:view_sharing",
    "kt_sense": "popscan.recon.dynamic:kt_sense",
    "low_rank_sparse": "popscan.recon.dynamic:low_rank_sparse",
    "dc_cnn": "popscan.recon.dc_cnn:dc_cnn",
    "varnet": "popscan.recon.networks:varnet",
    "kt_sense_net": "popscan.recon.networks:kt_sense_net",
    "dautomap": "popscan.recon.networks:dautomap",
}
#: Methods that need the option ``model``: a folder of weights, or a shipped model's name.
LEARNED = ("dc_cnn", "varnet", "kt_sense_net", "dautomap")


def models_of(method: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return what a result of a method depends on beside its options: the model's digest."""
    if method not in LEARNED:
        return {}
    from popscan.recon.learned import model_digest

    return {"model_digest": model_digest(options["model"])}


def reconstruct(
    kspace: KSpace, *, method: str, seed: int = 0, device: str = "cpu", **options: Any
) -> Scan:
    """Reconstruct a series of magnitude images.

    Parameters
    ----------
    kspace
        What was acquired.
    method
        A name in `METHODS`.
    seed
        For methods that draw random numbers.
    device
        ``cpu``, ``cuda`` or ``auto``, for methods that run on a GPU, too.
    **options
        The method's keyword-only arguments.

    Returns
    -------
    Scan
        Magnitudes, float32, shape (x, y, z, t).

    Raises
    ------
    PopscanError
        For an unknown method or option (the message lists what exists).
    SubjectError
        ``bad_kspace_shape``, ``non_finite_kspace``, ``no_acquired_lines``, ``empty_kspace``,
        ``not_finite``; and what the method itself adds.
    """
    function = methods.resolve(METHODS, method, "reconstruct")
    methods.check_options(function, options)
    taken = inspect.signature(function).parameters
    reserved = {k: v for k, v in (("seed", seed), ("device", device)) if k in taken}
    scan: Scan = function(kspace, **options, **reserved)
    if not np.isfinite(scan.array).all():
        raise SubjectError(
            "not_finite", f"method {method} gave an image with NaN or infinite values: it diverged"
        )
    return scan
