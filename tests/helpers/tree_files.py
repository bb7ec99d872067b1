"""Simulated visits as unsorted files: made-up vendors, meaningless names, and what each is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, Sequence

from flow_files import AFFINE as FLOW_AFFINE
from flow_files import RR_MS, Phantom
from mapping_files import write_dicom
from popscan.io.nifti import write_scan
from popscan.protocols.brain_t1.digital import simulate_subject as simulate_brain
from popscan.protocols.brain_t1.population import sample_population as sample_brains
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.simulate.scan import simulate_subject as simulate_lax
from popscan.protocols.cine_sax.simulate.acquisition import scanner_image
from popscan.protocols.cine_sax.simulate.coils import coil_maps
from popscan.protocols.cine_sax.simulate.plan import Grid
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.render import render
from popscan.protocols.cine_sax.simulate.scan import scanner_of, signals_of, simulate_subject
from popscan.protocols.cine_sax.simulate.seeds import rng_for
from popscan.protocols.cine_sax.simulate.subject import Anatomy, anatomy_for
from popscan.protocols.cine_sax.simulate.tissue import Tissue
from popscan.records import Scan
from popscan.relaxometry.simulate import SHMOLLI, inversion_signal, inversion_times_ms

LPS = np.array([-1.0, -1.0, 1.0])
#: Turn of the three-chamber plane about the long axis, in the angle of `plan_plane`.
THREE_CHAMBER_DEG = -120.0


class Visit:
    """One visit that is written series by series, in the manner of a vendor."""

    def __init__(self, root: Path, number: int, truth: dict[str, str], *, nifti: bool) -> None:
        self.root, self.number, self.truth, self.nifti = root, number, truth, nifti
        self.rng = np.random.default_rng([7, number])
        self.n = 0

    def save(
        self,
        name: str,
        array: np.ndarray,
        affine: np.ndarray,
        *,
        cycle_ms: float = 900.0,
        phase: bool = False,
        **tags: Any,
    ) -> None:
        """Write (x, y, z, t); tags of a list are one for each frame."""
        self.n += 1
        code = int(self.rng.integers(10**6))
        if self.nifti:
            place = f"v{self.number:03d}/{code:06d}.nii.gz"
            self._save_nifti(place, array, affine, tags)
        else:
            place = f"p{self.number:03d}/exam/{code:06d}"
            self._save_dicom(place, array, affine, cycle_ms, phase, tags)
        self.truth[place] = name

    def _save_nifti(
        self, place: str, array: np.ndarray, affine: np.ndarray, tags: Mapping[str, Any]
    ) -> None:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0))
        write_scan(
            path,
            Scan(array=array.astype(np.float32), affine=affine, spacing_mm=spacing),
        )
        side = {"VelocityEncoding": tags["venc"]} if "venc" in tags else {}
        if "InversionTime" in tags:
            side["InversionTime"] = [t / 1000.0 for t in np.atleast_1d(tags["InversionTime"])]
        Path(str(path).replace(".nii.gz", ".json")).write_text(json.dumps(side))

    def _save_dicom(
        self, place: str, array: np.ndarray, affine: np.ndarray, cycle_ms: float, phase: bool,
        tags: Mapping[str, Any],
    ) -> None:  # fmt: skip
        step = np.linalg.norm(affine[:3, :3], axis=0)
        unit = affine[:3, :3] / step * LPS[:, None]
        venc = tags.get("venc")
        rest = {k: v for k, v in tags.items() if k != "venc"}
        if venc:
            item = Dataset()
            item.VelocityEncodingMaximumValue = venc
            rest["MRVelocityEncodingSequence"] = Sequence([item])
        scale = {"RescaleSlope": 2, "RescaleIntercept": -4096} if phase else {}
        instance = 0
        for z in range(array.shape[2]):
            corner = (affine @ [0, 0, z, 1])[:3] * LPS
            for t in range(array.shape[3]):
                instance += 1
                own = {k: v[t] if isinstance(v, (list, np.ndarray)) else v for k, v in rest.items()}
                write_dicom(
                    self.root / place / f"{self.rng.integers(10**8):08d}",
                    np.clip(np.rint(array[:, :, z, t].T), 0, 4095), series=self.n,
                    instance=instance, kind="P" if phase else "M",
                    PatientID=f"patient {self.number}", TriggerTime=t * cycle_ms / array.shape[3],
                    StudyInstanceUID=f"1.2.3.{self.number}", SeriesDescription="series",
                    Manufacturer="Fir", SliceThickness=8,
                    **{
                        "ImageOrientationPatient": [*unit[:, 0], *unit[:, 1]],
                        "ImagePositionPatient": list(corner), "PixelSpacing": [step[1], step[0]],
                        **scale, **own,
                    },
                )  # fmt: skip


def write_visits(
    root: Path, n: int, *, seed: int = 1, matrix: int = 96, frames: int = 12, first: int = 0
) -> dict[str, str]:
    """Write visits; return place -> what is there, in the names of the protocols.

    Every third visit is NIfTI without useful names; every fourth has each short-axis slice as a
    series of its own.
    """
    people = sample_population(n + first, seed=seed)
    truth: dict[str, str] = {}
    for number in range(first, n + first):
        row = people.iloc[number].to_dict() | {"fault": ""}
        _write_visit(root, number, row, truth, seed=seed, matrix=matrix, frames=frames)
    return truth


def _write_visit(
    root: Path, number: int, row: dict[str, Any], truth: dict[str, str], *, seed: int, matrix: int,
    frames: int,
) -> None:  # fmt: skip
    visit = Visit(root, number, truth, nifti=number % 3 == 2)
    who = str(row["participant_id"])
    rng = np.random.default_rng([seed, number])
    step = 280.0 / matrix * rng.uniform(0.95, 1.15)
    grid = {"matrix": (matrix, matrix), "spacing_mm": (step, step), "frames": frames,
            "fine": (1, 2)}  # fmt: skip
    made = simulate_subject(row, seed=seed, kspace=False, **grid)
    cine = {"cycle_ms": float(made.scan.meta["rr_ms"]), "EchoTime": 1.4, "RepetitionTime": 40.0}
    _write_short_axis(visit, made.scan, cine)
    for name, view, turn in (
        ("2ch_cine", "2ch", None), ("4ch_cine", "4ch", None), ("3ch_cine", "2ch", THREE_CHAMBER_DEG)
    ):  # fmt: skip
        lax = simulate_lax(
            row, seed=seed, views=(view,), turn_deg=None if turn is None else {view: turn}, **grid
        )
        plane = planes_of(lax.scan.meta, lax.scan.array.shape)[0]
        visit.save(name, lax.scan.array, plane.affine, **cine)
    anatomy = anatomy_for(row, rng=rng_for(seed, who, "anatomy"))
    _write_late(visit, row, anatomy, made.scan, rng)
    if not visit.nifti:
        _write_scout(visit, row, anatomy, rng)
    _write_t1(visit, made, rng)
    _write_flow(visit, seed + number)
    if number % 2 == 0:
        brain_row = sample_brains(number + 1, seed=seed).iloc[number].to_dict() | {"fault": ""}
        brain = simulate_brain(brain_row, seed=seed, spacing_mm=2.5).scan
        folder = Visit(root, number, truth, nifti=True)
        folder.save("brain_t1w", brain.array, brain.affine)


def _write_short_axis(visit: Visit, scan: Scan, cine: Mapping[str, Any]) -> None:
    if visit.number % 4:
        visit.save("sax_cine", scan.array, scan.affine, **cine)
        return
    for z in range(scan.array.shape[2]):
        affine = scan.affine.copy()
        affine[:3, 3] += z * affine[:3, 2]
        visit.save("sax_cine", scan.array[:, :, z : z + 1], affine, **cine)


def _imaged(
    row: Mapping[str, Any], anatomy: Anatomy, grid: Grid, signals: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    scanner = scanner_of(row)
    spectrum, _ = render(
        anatomy, grid, scanner=scanner, signals=signals, phases=np.array([0.3]), rng=rng
    )
    maps = coil_maps(anatomy.torso, grid.centres_mm(), coils=6)
    return scanner_image(spectrum, maps, scanner=scanner, noise=scanner.noise * scanner.gain,
                         rng=rng)  # fmt: skip


def _write_late(
    visit: Visit, row: Mapping[str, Any], anatomy: Anatomy, scan: Scan, rng: np.random.Generator
) -> None:
    """Dark muscle, bright blood, inversion time of 280 ms or so."""
    signals = signals_of(scanner_of(row), contrast_loss=0.0).copy()
    for tissue in (Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.MUSCLE):
        signals[tissue] *= 0.15
    grid = Grid(affine=scan.affine, shape=scan.array.shape[:3], thickness_share=0.8, fine=(1, 2),
                shifts_mm=np.zeros((scan.array.shape[2], 3)))  # fmt: skip
    visit.save(
        "sax_lge", _imaged(row, anatomy, grid, signals, rng), scan.affine, EchoTime=3.0,
        RepetitionTime=700.0, InversionTime=float(rng.integers(240, 330)),
    )  # fmt: skip


def _write_scout(
    visit: Visit, row: Mapping[str, Any], anatomy: Anatomy, rng: np.random.Generator
) -> None:
    """Write three planes of each direction through the chest, in one series."""
    signals = signals_of(scanner_of(row), contrast_loss=0.0)
    centre = np.asarray(anatomy.base_mm)
    step, n = 4.2, 96
    axes = {
        "axial": np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]).T,
        "coronal": np.array([[-1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T,
        "sagittal": np.array([[0, -1.0, 0], [0, 0, -1], [1, 0, 0]]).T,
    }
    first = visit.n
    place = ""
    for directions in axes.values():
        affine = np.eye(4)
        affine[:3, :3] = directions * (step, step, 20.0)
        affine[:3, 3] = centre - affine[:3, :3] @ [(n - 1) / 2, (n - 1) / 2, 1.0]
        grid = Grid(affine=affine, shape=(n, n, 3), thickness_share=0.4, fine=(1, 1),
                    shifts_mm=np.zeros((3, 3)))  # fmt: skip
        image = _imaged(row, anatomy, grid, signals, rng)
        visit.n = first
        if not place:
            visit.save("scout", image, affine, EchoTime=1.2, RepetitionTime=3.5)
            place = list(visit.truth)[-1]
        else:
            visit.n += 1
            visit._save_dicom(place, image, affine, 900.0, False, {"EchoTime": 1.2})


def _write_t1(visit: Visit, made: Any, rng: np.random.Generator) -> None:
    """Seven inversions of the middle slice."""
    scan: Scan = made.scan
    z = scan.array.shape[2] // 2
    image, labels = scan.array[:, :, z, 0].astype(float), made.labels.array[:, :, z, 0]
    body = image / np.percentile(image, 99)
    t1 = np.select([labels == 2, labels > 0, body > 0.5], [1000.0, 1600.0, 300.0], 700.0)
    signed = inversion_signal(SHMOLLI, t1_ms=t1, m0=900.0 * np.clip(body, 0, 1.2))
    signed = signed + rng.normal(0, 12, signed.shape)
    affine = scan.affine.copy()
    affine[:3, 3] += z * affine[:3, 2]
    times = inversion_times_ms(SHMOLLI)
    order = np.argsort(times)
    stack = np.abs(signed)[order].transpose(1, 2, 0)[:, :, None]
    visit.save("t1_inversions", stack, affine, InversionTime=list(times[order]), EchoTime=1.1)


def _write_flow(visit: Visit, seed: int) -> None:
    phantom = replace(Phantom(), seed=seed, n=96, frames=20)
    acquired = phantom.made()
    magnitude = 400 * acquired.magnitude[:, :, None]
    stored = np.clip(2048 + acquired.phase_rad * (2048 / np.pi), 0, 4095)[:, :, None]
    more = {"cycle_ms": RR_MS, "EchoTime": 2.5, "venc": 150.0}
    if visit.nifti:
        stored = acquired.phase_rad[:, :, None] * 150 / np.pi
        visit.save("flow_magnitude", magnitude, FLOW_AFFINE)
    else:
        visit.save("flow_magnitude", magnitude, FLOW_AFFINE, **more)
    visit.save("flow_phase", stored, FLOW_AFFINE, phase=not visit.nifti, **more)
