"""Long-axis planes, planes of flow and T1 maps, right and mixed up, for `given_labels.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from popscan.flow.simulate import Tube, acquire
from popscan.protocols.cine_lax.labels import LA, LV, MYO, RA, RV
from popscan.protocols.cine_lax.planes import pack
from popscan.protocols.cine_lax.simulate.scan import simulate_subject
from popscan.records import LabelMap, Scan
from popscan.relaxometry.simulate import SHMOLLI, inversion_signal, inversion_times_ms


@dataclass(frozen=True, kw_only=True)
class Case:
    """A spoilt visit: its scan as the source has it, and its labels."""

    name: str
    scan: Scan
    labels: LabelMap


def with_codes(labels: LabelMap, codes: np.ndarray) -> LabelMap:
    """Return labels with other codes."""
    return LabelMap(array=np.ascontiguousarray(codes), frames=labels.frames)


def recoded(codes: np.ndarray, exchange: Mapping[int, int]) -> np.ndarray:
    """Return codes exchanged."""
    table = np.arange(256, dtype=np.uint8)
    for old, new in exchange.items():
        table[old] = new
    return table[codes]


def moved(codes: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Return labels moved by pixels."""
    return np.roll(codes, (dx, dy), axis=(0, 1))


def in_time(codes: np.ndarray) -> dict[str, np.ndarray]:
    """Labels whose frames are in another order than the images."""
    n = codes.shape[-1]
    mixed = np.random.default_rng(5).permutation(n)
    return {
        "labels 3 frames late": np.roll(codes, 3, axis=-1),
        "labels half a cycle late": np.roll(codes, n // 2, axis=-1),
        "labels in reversed order": codes[..., ::-1],
        "labels in mixed order": codes[..., mixed],
        "labels of one frame for all": np.repeat(codes[..., :1], n, axis=-1),
    }


def unpacked(scan: Scan, labels: LabelMap) -> tuple[dict[str, Scan], dict[str, LabelMap]]:
    """Return views of a packed scan."""
    scans, maps = {}, {}
    for at, plane in enumerate(scan.meta["planes"]):
        view = plane["view"]
        scans[view] = replace(
            scan, array=scan.array[:, :, at : at + 1], affine=np.asarray(plane["affine"]),
            view=view, meta={k: v for k, v in scan.meta.items() if k != "planes"},
        )  # fmt: skip
        maps[view] = LabelMap(array=labels.array[:, :, at : at + 1], frames=labels.frames)
    return scans, maps


def planes(row: Mapping[str, Any], seed: int, **options: Any) -> tuple[Scan, LabelMap]:
    """Long-axis planes of a digital heart."""
    made = simulate_subject(
        row, seed=seed, matrix=(144, 144), spacing_mm=(2.0, 2.0), frames=24, **options
    )
    assert made.scan is not None
    return made.scan, made.labels


def lax_cases(
    scan: Scan, labels: LabelMap, other: tuple[Scan, LabelMap], tilted: tuple[Scan, LabelMap]
) -> Iterator[Case]:
    """Long-axis planes, spoilt."""
    yield Case(name="right files", scan=scan, labels=labels)
    codes = labels.array
    changes = {
        **in_time(codes),
        "labels moved by 8 mm": moved(codes, 4, 0),
        "labels moved by 12 mm along the axis": moved(codes, 0, 6),
        "labels mirrored left to right": codes[::-1],
        "labels mirrored base to apex": codes[:, ::-1],
        "labels of the views exchanged": codes[:, :, ::-1],
        "left and right exchanged": recoded(codes, {LV: RV, RV: LV, LA: RA, RA: LA}),
        "ventricles and atria exchanged": recoded(codes, {LV: LA, LA: LV, RV: RA, RA: RV}),
        "left and right atrium exchanged": recoded(codes, {LA: RA, RA: LA}),
        "cavity and wall exchanged": recoded(codes, {LV: MYO, MYO: LV}),
        "labels of another subject": other[1].array,
    }
    for name, changed in changes.items():
        yield Case(name=name, scan=scan, labels=with_codes(labels, changed))
    scans, maps = unpacked(scan, labels)
    theirs, their_maps = unpacked(*other)
    for name, mixed, mixed_maps in (
        ("one view missing", {"4ch": scans["4ch"]}, {"4ch": maps["4ch"]}),
        ("2ch of another subject", {**scans, "2ch": theirs["2ch"]},
         {**maps, "2ch": their_maps["2ch"]}),
        ("images of the views exchanged", {"2ch": scans["4ch"], "4ch": scans["2ch"]},
         {"2ch": maps["4ch"], "4ch": maps["2ch"]}),
        ("2ch at another heart rate", {**scans, "2ch": _slower(scans["2ch"], 1.5)}, maps),
        ("2ch half a cycle late", {**scans, "2ch": _late(scans["2ch"])},
         {**maps, "2ch": with_codes(maps["2ch"], np.roll(maps["2ch"].array, 12, axis=-1))}),
        ("2ch pixels of 1 mm", {**scans, "2ch": _resized(scans["2ch"], 0.5)}, maps),
    ):  # fmt: skip
        packed_scan, packed_labels = pack(mixed, mixed_maps)
        yield Case(name=name, scan=packed_scan, labels=packed_labels)
    both, both_maps = pack({v: _resized(s, 0.5) for v, s in scans.items()}, maps)
    yield Case(name="all pixels of 1 mm", scan=both, labels=both_maps)
    yield Case(name="planes off the long axis", scan=tilted[0], labels=tilted[1])
    cut = 96
    short = {v: replace(s, array=s.array[:, :cut]) for v, s in scans.items()}
    cut_maps = {v: with_codes(m, m.array[:, :cut]) for v, m in maps.items()}
    packed_scan, packed_labels = pack(short, cut_maps)
    yield Case(name="apex cut off", scan=packed_scan, labels=packed_labels)


def _slower(scan: Scan, factor: float) -> Scan:
    assert scan.frame_times_ms is not None
    meta = {**scan.meta, "rr_ms": factor * float(scan.meta["rr_ms"])}
    return replace(scan, frame_times_ms=factor * scan.frame_times_ms, meta=meta)


def _late(scan: Scan) -> Scan:
    return replace(scan, array=np.roll(scan.array, scan.array.shape[3] // 2, axis=-1))


def _resized(scan: Scan, factor: float) -> Scan:
    affine = scan.affine.copy()
    affine[:3, :2] *= factor
    dx, dy, dz = scan.spacing_mm
    return replace(scan, affine=affine, spacing_mm=(dx * factor, dy * factor, dz))


FLOW_MM, FLOW_N, RR_MS = 1.8, 96, 900.0


def vessels(seed: int) -> tuple[np.ndarray, np.ndarray, LabelMap]:
    """Magnitude, phase (radians) and labels of two aortas that vary between seeds."""
    rng = np.random.default_rng((seed, 1))
    tubes = (
        Tube(code=1, centre_mm=(-14 + rng.uniform(-4, 4), 12 + rng.uniform(-4, 4)),
             radius_mm=rng.uniform(12, 16), peak_cm_s=rng.uniform(80, 130), tilt_deg=10.0,
             back=rng.uniform(0.01, 0.2), profile=2.0, sway_mm=rng.uniform(1, 4)),
        Tube(code=2, centre_mm=(20 + rng.uniform(-4, 4), -26 + rng.uniform(-4, 4)),
             radius_mm=rng.uniform(9, 12), peak_cm_s=-rng.uniform(70, 110), back=0.03,
             profile=2.0, sway_mm=rng.uniform(0.5, 2)),
    )  # fmt: skip
    made = acquire(
        tubes, rng=np.random.default_rng((seed, 2)), n=FLOW_N, spacing_mm=FLOW_MM,
        snr=float(rng.uniform(15, 35)),
    )  # fmt: skip
    codes = np.repeat(made.labels[:, :, np.newaxis], 2, axis=2)
    return made.magnitude, made.phase_rad, LabelMap(array=codes, frames=tuple(range(30)))


def flow_scan(
    magnitude: np.ndarray, phase: np.ndarray, *, venc: float = 150.0, step_mm: float = FLOW_MM,
    times: bool = True, rr_ms: float = RR_MS, positive: str = "head",
) -> Scan:  # fmt: skip
    """Return a plane as the source has it."""
    n = phase.shape[-1]
    return Scan(
        array=np.stack([400 * magnitude, phase], axis=2).astype(np.float32),
        affine=np.diag([-step_mm, -step_mm, 6.0, 1.0]), spacing_mm=(step_mm, step_mm, 6.0),
        view="flow", frame_times_ms=np.arange(n) * RR_MS / n if times else None,
        meta={
            "rr_ms": rr_ms,
            "flow": {"venc_cm_s": venc, "venc_by": "VENC", "phase_kind": "auto",
                     "positive": positive},
        },
    )  # fmt: skip


def flow_cases(seed: int) -> Iterator[Case]:
    """Planes of flow, spoilt."""
    magnitude, phase, labels = vessels(seed)
    right = flow_scan(magnitude, phase)
    yield Case(name="right files", scan=right, labels=labels)
    codes = labels.array
    changes = {
        **in_time(codes),
        "labels moved by 5 mm": moved(codes, 3, 0),
        "labels moved by 11 mm": moved(codes, 0, 6),
        "labels mirrored left to right": codes[::-1],
        "labels mirrored front to back": codes[:, ::-1],
        "labels of another subject": vessels(seed + 1000)[2].array,
        "aortas exchanged": recoded(codes, {1: 2, 2: 1}),
        "aorta drawn on the descending one": recoded(codes, {1: 0, 2: 1}),
        "aorta drawn in still tissue": moved(recoded(codes, {2: 0}), 0, -22),
        "aorta drawn in the lung": moved(recoded(codes, {2: 0}), -25, -6),
    }
    for name, changed in changes.items():
        yield Case(name=name, scan=right, labels=with_codes(labels, changed))
    alone = with_codes(labels, recoded(codes, {1: 0, 2: 1}))
    auto = flow_scan(magnitude, phase, positive="auto")
    yield Case(name="the same, direction not stated", scan=auto, labels=alone)
    n = phase.shape[-1]
    order = np.random.default_rng(5).permutation(n)
    for name, scan in {
        "encoding in m/s": flow_scan(magnitude, phase, venc=1.5),
        "encoding in mm/s": flow_scan(magnitude, phase, venc=1500.0),
        "encoding 250 for 150": flow_scan(magnitude, phase, venc=250.0),
        "encoding 100 for 150": flow_scan(magnitude, phase, venc=100.0),
        "phase of the other sign": flow_scan(magnitude, -phase),
        "phase of the other sign, direction not stated": flow_scan(
            magnitude, -phase, positive="auto"
        ),
        "phase to 4096": flow_scan(magnitude, phase * 4096 / math.pi),
        "phase from 0 to 4095": flow_scan(magnitude, (phase / math.pi + 1) * 2047.5),
        "phase from 0 to 2 pi": flow_scan(magnitude, np.mod(phase, 2 * math.pi)),
        "magnitude for phase": flow_scan(magnitude, 400 * magnitude),
        "magnitude and phase exchanged": flow_scan(phase, 400 * magnitude),
        "phase in mixed order": flow_scan(magnitude, phase[..., order]),
        "both in mixed order": flow_scan(magnitude[..., order], phase[..., order]),
        "phase of another subject": flow_scan(magnitude, vessels(seed + 1000)[1]),
        "RR of 600 for 900 ms": flow_scan(magnitude, phase, rr_ms=600.0),
        "RR of 600 for 900 ms, no times": flow_scan(magnitude, phase, rr_ms=600.0, times=False),
        "pixels of 1 mm": flow_scan(magnitude, phase, step_mm=1.0),
    }.items():
        yield Case(name=name, scan=scan, labels=labels)


def ring(seed: int, n: int = 72) -> np.ndarray:
    """Regions of a short-axis slice (x, y, 1)."""
    rng = np.random.default_rng((seed, 3))
    x, y = np.mgrid[:n, :n] - n / 2.0
    inner, wall = rng.uniform(9, 13), rng.uniform(4.5, 7)
    x, y = x - rng.uniform(-3, 3), y - rng.uniform(-3, 3)
    radius = np.hypot(x, y * rng.uniform(0.9, 1.1))
    labels = np.where(radius < inner, 3, np.where(radius < inner + wall, 2, 0))
    beside = (np.hypot(x + inner + wall, y) < inner + 1) & (labels == 0)
    return np.where(beside, 1, labels).astype(np.uint8)[..., None]


def t1_cases(seed: int) -> Iterator[Case]:
    """T1 maps and raw images, spoilt."""
    rng = np.random.default_rng((seed, 4))
    codes = ring(seed)
    wall, blood = rng.uniform(940, 1250), rng.uniform(1550, 1950)
    blocks = np.kron(rng.choice([300.0, 400.0, 1000.0], (9, 9)), np.ones((8, 8)))[..., None]
    around = np.where(np.abs(np.mgrid[:72, :72][0] - 36)[..., None] > 30, 300.0, blocks)
    truth = np.where(codes == 2, wall, np.where(codes == 0, around, blood))
    times = [float(t) for t in inversion_times_ms(SHMOLLI)]
    signed = inversion_signal(SHMOLLI, t1_ms=truth, m0=400.0)
    signed = np.moveaxis(signed + 3.0 * rng.standard_normal(signed.shape), 0, 3)
    clean = truth[..., None] * (1 + 0.04 * rng.standard_normal(truth.shape)[..., None])

    def raw(images: np.ndarray, at: list[float] = times, *, signs: bool = False) -> Scan:
        facts = {"kind": "raw", "times_ms": at, "signed": signs, "scheme": "shmolli",
                 "scheme_by": "header"}  # fmt: skip
        return _t1(images, facts)

    def ready(values: np.ndarray) -> Scan:
        return _t1(values, {"kind": "map", "unit": "auto", "unit_stated": "", "factor": 1.0})

    def regions(changed: np.ndarray, n_frames: int) -> LabelMap:
        array = np.repeat(changed[..., None], n_frames, axis=3)
        return LabelMap(array=np.ascontiguousarray(array), frames=tuple(range(n_frames)))

    magnitude = np.abs(signed)
    order = np.random.default_rng(5).permutation(7)
    mixed = [times[at] for at in order]
    heart = codes > 0
    post = np.where(codes == 2, 0.45 * wall, np.where(codes == 0, truth, 0.3 * blood))
    scans = {
        "right files": raw(magnitude), "right map": ready(clean),
        "times in mixed order": raw(magnitude, mixed),
        "times reversed": raw(magnitude, times[::-1]),
        "times of beats of 750 for 1000 ms": raw(
            magnitude, [float(t) for t in inversion_times_ms(SHMOLLI, beat_ms=750.0)]),
        "times in s taken as ms": raw(magnitude, [t / 1000 for t in times]),
        "polarity restored, not said": raw(signed),
        "polarity turned round, signs by phase": raw(-signed, signs=True),
        "phase-sensitive, offset to 0": raw(signed - signed.min()),
        "phase-sensitive, each image scaled": raw(
            magnitude / magnitude.max(axis=(0, 1, 2), keepdims=True) * 400),
        "map in s": ready(clean / 1000), "map times 10": ready(clean * 10),
        "R1 in 1/s": ready(1000 / clean), "R1 in 1/s, masked to the heart": ready(
            np.where(heart[..., None], 1000 / clean, 0)),
        "R1 in 1/ms": ready(1 / clean),
        "T2 map for T1": ready(np.where(heart[..., None], np.where(
            codes == 2, 48.0, 180.0)[..., None], 60.0)),
        "map after contrast": ready(post[..., None]),
        "weighted image for a map": ready(signed[..., 4:5] * 4),
        "map of 12 bits, of 2 ms": ready(np.rint(clean / 2)),
    }  # fmt: skip
    for name, scan in scans.items():
        yield Case(name=name, scan=scan, labels=regions(codes, scan.array.shape[3]))
    for name, changed in {
        "labels moved by 5 mm": moved(codes, 3, 0), "labels moved by 11 mm": moved(codes, 0, 6),
        "labels mirrored left to right": codes[::-1],
        "labels of another subject": ring(seed + 1000),
        "blood and wall exchanged": recoded(codes, {2: 3, 3: 2}),
        "left and right blood exchanged": recoded(codes, {1: 3, 3: 1}),
        "wall a pixel too wide": _wide(codes),
    }.items():  # fmt: skip
        yield Case(name=name, scan=scans["right map"], labels=regions(changed, 1))


def _wide(codes: np.ndarray) -> np.ndarray:
    grown = ndimage.binary_dilation(codes[..., 0] == 2)[..., None]
    return np.where(grown, 2, codes).astype(np.uint8)


def _t1(images: np.ndarray, facts: Mapping[str, Any]) -> Scan:
    return Scan(
        array=images.astype(np.float32), affine=np.diag([-1.8, -1.8, 8.0, 1.0]),
        spacing_mm=(1.8, 1.8, 8.0), view="t1", meta={"relaxation": dict(facts)},
    )  # fmt: skip
