"""Planes of pulsatile Poiseuille flow with analytic truth, as files: NIfTI with sidecars, DICOM."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from mapping_files import write_dicom
from popscan.flow.simulate import Acquired, Tube, acquire

SPACING_MM, FRAMES, RR_MS = 1.8, 30, 900.0
AORTA, DESCENDING, PULMONARY = 1, 2, 3


def _oblique() -> np.ndarray:
    """A plane whose normal lies 25 degrees off the body's long axis."""
    tilt, turn = math.radians(25.0), math.radians(15.0)
    row = np.array([-math.cos(turn), -math.sin(turn), 0.0])
    normal = np.array([math.sin(tilt) * math.sin(turn), -math.sin(tilt) * math.cos(turn),
                       math.cos(tilt)])  # fmt: skip
    column = np.cross(normal, row)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * SPACING_MM, column * SPACING_MM, normal * 6.0], axis=1)
    affine[:3, 3] = [60.0, 40.0, -20.0]
    return affine


AFFINE = _oblique()


@dataclass
class Phantom:
    """Both aortas in one plane: parabolic, 110 cm/s up and 90 cm/s down, moving, and an offset."""

    venc_cm_s: float = 150.0
    seed: int = 1
    n: int = 72
    frames: int = FRAMES
    tubes: tuple[Tube, ...] = field(
        default_factory=lambda: (
            Tube(code=AORTA, centre_mm=(-14.0, 12.0), radius_mm=14.0, peak_cm_s=110.0,
                 profile=2.0, tilt_deg=10.0, sway_mm=3.0),
            Tube(code=DESCENDING, centre_mm=(20.0, -26.0), radius_mm=11.0, peak_cm_s=-90.0,
                 back=0.03, profile=2.0, sway_mm=1.5),
        )
    )  # fmt: skip

    def made(self) -> Acquired:
        return acquire(
            self.tubes, rng=np.random.default_rng(self.seed), venc_cm_s=self.venc_cm_s, n=self.n,
            spacing_mm=SPACING_MM, frames=self.frames,
        )  # fmt: skip

    def truth_ml(self, code: int) -> tuple[float, float]:
        """Analytic volumes forward and backward."""
        tube = next(tube for tube in self.tubes if tube.code == code)
        return tube.volumes_ml(RR_MS / 1000.0)


def write_nifti(path: Path, array: np.ndarray, side: dict | None = None, *, step_s=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if array.ndim == 4 and step_s:
        image.header["pixdim"][4] = step_s
    nib.save(image, path)
    if side is not None:
        Path(str(path).replace(".nii.gz", ".json")).write_text(json.dumps(side))


def write_bids(
    root: Path,
    sub: str,
    phantom: Phantom,
    *,
    half: float = math.pi,
    side: dict | None = None,
    regions: np.ndarray | None = None,
    step_s: float | None = RR_MS / 1000.0 / FRAMES,
    name: str = "",
) -> Path:
    """Magnitude, phase (half a turn stored as `half`), regions; the folder of the images."""
    made = phantom.made()
    folder = root / sub / "func"
    stem = f"{sub}{name}"
    if side is None:
        side = {"VelocityEncoding": phantom.venc_cm_s, "RRInterval": RR_MS / 1000.0}
    magnitude = (400.0 * made.magnitude).astype(np.float32)[:, :, None]
    phase = (made.phase_rad * (half / math.pi)).astype(np.float32)[:, :, None]
    write_nifti(folder / f"{stem}_part-mag_flow.nii.gz", magnitude, {}, step_s=step_s)
    write_nifti(folder / f"{stem}_part-phase_flow.nii.gz", phase, side, step_s=step_s)
    labels = made.labels[:, :, None] if regions is None else regions
    write_nifti(folder / f"{stem}_flow_dseg.nii.gz", labels)
    return folder


def write_dicom_study(
    folder: Path, phantom: Phantom, *, name: str = "flow", first: int = 1
) -> None:
    """Three series as Siemens has them: magnitude, complex difference (MAG), phase of 12 bits."""
    made = phantom.made()
    flip = np.array([-1.0, -1.0, 1.0])
    directions = AFFINE[:3, :3] / np.linalg.norm(AFFINE[:3, :3], axis=0)
    place = {
        "ImageOrientationPatient": [*(directions[:, 0] * flip), *(directions[:, 1] * flip)],
        "ImagePositionPatient": list(AFFINE[:3, 3] * flip), "SliceThickness": 6,
        "PixelSpacing": [SPACING_MM, SPACING_MM], "NominalInterval": RR_MS,
        "SequenceName": f"*fl2d1_v{phantom.venc_cm_s:g}in",
    }  # fmt: skip
    stored = {
        "M": ("", 400 * made.magnitude),
        "MAG": ("_MAG", 400 * made.magnitude * np.abs(np.sin(made.phase_rad / 2))),
        "P": ("_P", np.clip(2048 + made.phase_rad * (2048 / math.pi), 0, 4095)),
    }
    for number, (kind, (ending, values)) in enumerate(stored.items(), first):
        scale = {"RescaleSlope": 2, "RescaleIntercept": -4096} if kind == "P" else {}
        for t in range(phantom.frames):
            write_dicom(
                folder / f"{number}_{t:02d}.dcm", np.rint(values[..., t].T), series=number,
                instance=t + 1, kind=kind, SeriesDescription=f"{name}{ending}",
                TriggerTime=t * RR_MS / phantom.frames, **scale, **place,
            )  # fmt: skip
