"""BART and SigPy beside popscan: the same k-space, coil maps and metric. Used by recon.py."""

from __future__ import annotations

import importlib.util
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.io import read_cfl

Complex = NDArray[np.complexfloating]


def has_bart() -> bool:
    return shutil.which("bart") is not None


def has_sigpy() -> bool:
    return importlib.util.find_spec("sigpy") is not None


def write_cfl(stem: Path, array: Complex) -> None:
    """Write an array as BART's cfl/hdr pair."""
    stem.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(stem.with_suffix(".cfl"))


def timed(function: Callable[[], Complex]) -> tuple[Complex, float]:
    """Return a result and the processor time of this process and the programs that it ran."""
    start = _processor_seconds()
    found = function()
    return found, _processor_seconds() - start


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def bart(command: list[str], *inputs: Complex) -> Complex:
    """Run a BART tool on arrays and return what it writes, axes of length 1 dropped."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for k, array in enumerate(inputs):
            write_cfl(Path(folder) / f"in{k}", array)
            names.append(str(Path(folder) / f"in{k}"))
        out = str(Path(folder) / "out")
        subprocess.run(["bart", *command, *names, out], check=True, capture_output=True)
        return np.squeeze(read_cfl(out))


def _bart_layout(data: Complex) -> Complex:
    """Bring (coil, x, y) into BART's (x, y, 1, coil)."""
    return np.ascontiguousarray(data.transpose(1, 2, 0)[:, :, np.newaxis])


def bart_maps(data: Complex, *, width: int) -> Complex:
    """Return the maps (coil, x, y) of ``bart ecalib`` from k-space (coil, kx, ky)."""
    command = ["ecalib", "-m1", "-c0", f"-r{width}"]
    return bart(command, _bart_layout(data)).transpose(2, 0, 1)


def bart_pics(data: Complex, maps: Complex, *, prior: str, lam: float, n: int) -> Complex:
    """Return the image (x, y) of ``bart pics`` with wavelets (``W``) or total variation (``T``)."""
    command = ["pics", "-S", "-i", str(n), "-R", f"{prior}:3:0:{lam}"]
    return bart(command, _bart_layout(data), _bart_layout(maps))


def sigpy_app(data: Complex, maps: Complex, *, name: str, lam: float, n: int) -> Complex:
    """Return the image (x, y) of an app of SigPy: ``L1WaveletRecon`` or ``TotalVariationRecon``."""
    from sigpy.mri import app

    scaled = data / np.abs(data).max()
    run = getattr(app, name)(scaled, maps, lamda=lam, max_iter=n, show_pbar=False)
    return run.run()


def public_cascade(path: Path) -> list[list[tuple[Complex, Complex]]]:
    """Read public weights of the DC-CNN paper's code: 5 networks of 5 convolutions."""
    with np.load(path, allow_pickle=False) as file:
        arrays = [file[f"arr_{k}"] for k in range(len(file.files))]
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    return [layers[k : k + 5] for k in range(0, len(layers), 5)]


def run_cascade(networks: list[list[tuple[Complex, Complex]]], kspace: object) -> Complex:
    """Return the magnitude (x, y, 1) by these weights from k-space of one coil and frame."""
    import torch

    data = torch.from_numpy(np.fft.ifftshift(kspace.data[0, :, :, 0, 0]))  # type: ignore[attr-defined]
    mask = (data != 0).any(dim=0)
    scale = torch.fft.ifft2(data, norm="ortho").abs().max()
    data = data / scale
    image = torch.fft.ifft2(data, norm="ortho")
    with torch.inference_mode():
        for layers in networks:
            # The network sees the image as it is, with the heart in the middle.
            seen = torch.fft.fftshift(image)
            features = torch.view_as_real(seen).movedim(-1, 0)[None].float()
            for k, (weight, bias) in enumerate(layers):
                features = torch.nn.functional.conv2d(
                    features, torch.from_numpy(weight), torch.from_numpy(bias), padding="same"
                )
                if k < len(layers) - 1:
                    features = torch.nn.functional.leaky_relu(features, 0.01)
            image = image + torch.fft.ifftshift(torch.complex(features[0, 0], features[0, 1]))
            spectrum = torch.fft.fft2(image, norm="ortho")
            image = torch.fft.ifft2(torch.where(mask, data, spectrum), norm="ortho")
    found = np.fft.fftshift(image.abs().numpy())
    return found[..., np.newaxis] * float(scale)
