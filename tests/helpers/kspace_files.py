"""Raw k-space of point-like objects at known places in the patient, written by others' tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np

from popscan.config.kspace import KSpaceInput
from popscan.records import KSpace

#: Short-axis planes of a textbook heart, LPS.
NORMAL = np.array([1.0, -1.0, -1.0]) / np.sqrt(3)
READ = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
PHASE = np.cross(NORMAL, READ)
FLAG_NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
PLAIN = KSpaceInput(coils=0, prewhiten=False)
ONE = "encoding__0__"
#: Changes of `header` for `radial`.
KIND = {f"{ONE}trajectory": ismrmrd.xsd.trajectoryType.GOLDENANGLE}
PAIR = [("real", "<f8"), ("imag", "<f8")]


@dataclass(kw_only=True)
class Phantom:
    """Blobs in a stack of slices.

    Attributes
    ----------
    matrix, fov_mm
        Without readout oversampling.
    slices_mm
        Position of each slice along the normal, from `centre`.
    centre
        Middle of the field of view of the slice at 0, LPS.
    blobs
        LPS position, radius (Gaussian sigma, mm), and change of amplitude with the frame.
    """

    matrix: tuple[int, int] = (32, 24)
    fov_mm: tuple[float, float] = (256.0, 216.0)
    slices_mm: Sequence[float] = (0.0, 10.0, 20.0)
    centre: np.ndarray = field(default_factory=lambda: np.array([12.0, -30.0, 7.0]))
    n_frames: int = 3
    n_coils: int = 3
    oversampling: int = 2
    blobs: Sequence[tuple[np.ndarray, float]] = ()

    def __post_init__(self):
        if not self.blobs:
            at = [(31.0, -22.0, 10.0), (-40.0, 15.0, 0.0)]
            self.blobs = [(self.centre + u * READ + v * PHASE + w * NORMAL, 9.0) for u, v, w in at]

    def sensitivity(self, coil: int, position: np.ndarray) -> complex:
        angle = 2 * np.pi * coil / self.n_coils
        away = position - self.centre
        u, v = away @ READ, away @ PHASE
        strength = 1 + 0.5 * (
            np.cos(angle) * u / self.fov_mm[0] + np.sin(angle) * v / self.fov_mm[1]
        )
        return strength * np.exp(1j * angle)

    def signal(self, k_per_mm: np.ndarray, z: int, t: int) -> np.ndarray:
        """Signal at k (n, 2) in cycles per mm along readout and phase; (coil, n)."""
        middle = self.centre + self.slices_mm[z] * NORMAL
        out = np.zeros((self.n_coils, len(k_per_mm)), complex)
        for number, (position, sigma) in enumerate(self.blobs):
            away = position - middle
            through = np.exp(-0.5 * (away @ NORMAL / 5.0) ** 2)
            amplitude = through * (1 + 0.3 * t * number)
            u = np.array([away @ READ, away @ PHASE])
            shape = np.exp(-2 * (np.pi * sigma) ** 2 * (k_per_mm**2).sum(axis=1))
            wave = shape * np.exp(-2j * np.pi * k_per_mm @ u)
            for coil in range(self.n_coils):
                out[coil] += amplitude * self.sensitivity(coil, position) * wave
        return out

    def readout(self, ky: float, z: int, t: int, *, n: int = 0, centre: int = -1) -> np.ndarray:
        """One line (coil, sample); ky counts from the centre."""
        n_full = self.matrix[0] * self.oversampling
        n = n or n_full
        centre = n_full // 2 if centre < 0 else centre
        kx = (np.arange(n) - centre) / (self.fov_mm[0] * self.oversampling)
        k = np.stack([kx, np.full(n, ky / self.fov_mm[1])], axis=1)
        return self.signal(k, z, t)


def header(phantom: Phantom, **changes: Any) -> ismrmrd.xsd.ismrmrdHeader:
    """Header of a Cartesian cine; `changes` are set last, dots as double underscores."""
    xsd = ismrmrd.xsd
    n_x, n_y = phantom.matrix
    fov_x, fov_y = phantom.fov_mm

    def space(n: int, mm: float):
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=n, y=n_y, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=mm, y=fov_y, z=8.0),
        )

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=n_y - 1, center=n_y // 2)
    )
    encoding = xsd.encodingType(
        encodedSpace=space(n_x * phantom.oversampling, fov_x * phantom.oversampling),
        reconSpace=space(n_x, fov_x),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    made = xsd.ismrmrdHeader(
        subjectInformation=xsd.subjectInformationType(patientName="Doe^Jane"),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="SIEMENS", systemModel="Aera", systemFieldStrength_T=1.494
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63500000),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(TR=[2.8], TE=[1.4], flipAngle_deg=[60.0]),
    )
    for key, value in changes.items():
        target: Any = made
        *path, last = key.split("__")
        for name in path:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        setattr(target, last, value)
    return made


def line(phantom: Phantom, step: int, z: int, t: int, **fields: Any) -> ismrmrd.Acquisition:
    """One acquisition of a Cartesian cine."""
    data = fields.pop("data", None)
    if data is None:
        data = phantom.readout(step - phantom.matrix[1] // 2, z, t)
    acquisition = ismrmrd.Acquisition.from_array(data.astype(np.complex64))
    acquisition.idx.kspace_encode_step_1 = step
    acquisition.idx.slice, acquisition.idx.phase = z, t
    acquisition.center_sample = data.shape[1] // 2
    acquisition.position[:] = phantom.centre + phantom.slices_mm[z] * NORMAL
    acquisition.read_dir[:], acquisition.phase_dir[:] = READ, PHASE
    acquisition.slice_dir[:] = NORMAL
    acquisition.physiology_time_stamp[0] = 4 + 16 * t
    for key, value in fields.items():
        if hasattr(acquisition.idx, key):
            setattr(acquisition.idx, key, value)
        else:
            setattr(acquisition, key, value)
    return acquisition


def cine(phantom: Phantom, *, steps: Callable[[int], Sequence[int]] | None = None):
    """All lines of a cine, slices from last to first; `steps` of a frame."""
    n_y = phantom.matrix[1]
    return [
        line(phantom, step, z, t)
        for z in reversed(range(len(phantom.slices_mm)))
        for t in range(phantom.n_frames)
        for step in (steps(t) if steps else range(n_y))
    ]


def write(path: Path, made: ismrmrd.xsd.ismrmrdHeader, acquisitions) -> Path:
    """Write a file with the format's own package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ismrmrd.File(path, mode="w") as file:
        file["dataset"].header = made
        file["dataset"].acquisitions = acquisitions
    return path


def acquisitions_of(kspace: KSpace, *, tick_ms: float = 2.5) -> list[ismrmrd.Acquisition]:
    """Lines of a simulated k-space, as a converter would write them."""
    flip = np.array([-1.0, -1.0, 1.0])
    axes = (kspace.affine[:3, :3] / np.array(kspace.spacing_mm)).T * flip
    _, n_x, n_y, n_z, n_t = kspace.data.shape
    times = np.arange(n_t) * 40.0 if kspace.frame_times_ms is None else kspace.frame_times_ms
    made = []
    for z in range(n_z):
        middle = (kspace.affine @ [n_x // 2, n_y // 2, z, 1.0])[:3] * flip
        for t in range(n_t):
            for step in np.flatnonzero(kspace.mask[:, t]):
                one = ismrmrd.Acquisition.from_array(
                    np.ascontiguousarray(kspace.data[:, :, step, z, t])
                )
                one.idx.kspace_encode_step_1, one.idx.slice, one.idx.phase = int(step), z, t
                one.center_sample = n_x // 2
                one.position[:] = middle
                one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = axes
                one.physiology_time_stamp[0] = round(times[t] / tick_ms)
                made.append(one)
    return made


def header_of(kspace: KSpace, **changes: Any) -> ismrmrd.xsd.ismrmrdHeader:
    """Header that belongs to `acquisitions_of`."""
    n_x, n_y = kspace.data.shape[1:3]
    fov = (n_x * kspace.spacing_mm[0], n_y * kspace.spacing_mm[1])
    return header(Phantom(matrix=(n_x, n_y), fov_mm=fov, oversampling=1), **changes)


def centroid(array: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Centre of what is bright within three pixels of a place in a slice."""
    x, y = np.round(near).astype(int)
    window = array[x - 3 : x + 4, y - 3 : y + 4]
    grid = np.indices(window.shape).reshape(2, -1)
    return np.array([x - 3, y - 3]) + grid @ window.ravel() / window.sum()


def radial(phantom: Phantom, *, n_spokes: int = 30, unit: float = 1.0, with_points: bool = True):
    """Golden-angle spokes of the phantom, a frame after the other."""
    n = phantom.matrix[0] * phantom.oversampling
    pixel = phantom.fov_mm[0] / phantom.matrix[0]
    along = (np.arange(n) - n // 2) / n
    made = []
    for z in range(len(phantom.slices_mm)):
        for number in range(n_spokes * phantom.n_frames):
            angle = number * np.pi * (np.sqrt(5) - 1) / 2
            points = np.outer(along, [np.cos(angle), np.sin(angle)])
            one = line(phantom, 0, z, number // n_spokes,
                       data=phantom.signal(points / pixel, z, number // n_spokes))  # fmt: skip
            if with_points:
                one = with_trajectory(one, (points * unit).astype(np.float32))
            one.idx.kspace_encode_step_1 = number
            made.append(one)
    return made


def with_trajectory(one: ismrmrd.Acquisition, points: np.ndarray) -> ismrmrd.Acquisition:
    head = one.getHead()
    head.trajectory_dimensions = points.shape[1]
    return ismrmrd.Acquisition(head, data=one.data, trajectory=points)


def write_matlab(path, name: str, values: np.ndarray) -> None:
    """Write as MATLAB does: axes reversed, a compound of real and imaginary parts."""
    pairs = np.empty(values.shape[::-1], dtype=PAIR)
    pairs["real"], pairs["imag"] = values.T.real, values.T.imag
    with h5py.File(path, "w") as file:
        file[name] = pairs
        file[name].attrs["MATLAB_class"] = np.bytes_(b"single")


def write_fastmri(path, samples, phantom, *, name="kspace"):
    with h5py.File(path, "w") as file:
        file[name] = samples.transpose(3, 0, 1, 2)
        file["ismrmrd_header"] = ismrmrd.xsd.ToXML(header(phantom))
        file["reconstruction_rss"] = np.zeros((3, 32, 24), np.float32)
        file.attrs["patient_id"] = "0123"
