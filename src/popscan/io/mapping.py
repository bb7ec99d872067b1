"""Source ``bids`` of protocols of relaxation times: raw images with their times, or maps.

Raw images are one file per inversion (``sub-1_inv-1_IRT1.nii.gz``, BIDS) or T2 preparation
(``_T2prep``), with ``InversionTime`` or ``T2PreparationTime`` in its sidecar in seconds, or one 4D
file with a list of them. Phase images (``part-phase`` beside ``part-mag``, in radians) give the
signs. Maps are ``_T1map`` or ``_T2map``. Labels are as `popscan.io.bids` has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.ingest.checks import header_conflicts, number_of
from popscan.io.bids import Bids, bids_meta
from popscan.io.bids_names import Named, ViewWords, list_named, natural, require_content
from popscan.io.jsonfile import read_json
from popscan.io.mapping_words import Kind, kind_of, named_scheme
from popscan.io.nifti import read_scan, sidecar_path, stem_of
from popscan.io.references import read_reference
from popscan.io.sources import Loaded, one_folder
from popscan.records import LabelMap, Scan, SubjectError
from popscan.relaxometry import signs_from_phase

#: Longest inversion or preparation that is believed, in seconds: beyond it times are in ms.
_MOST_S = 30.0
#: What dcm2niix appends to the name of a stack whose slices it resampled to equal distances.
_RESAMPLED = re.compile(r"_eq(_\d+)?$", re.IGNORECASE)
_HEADER_KEYS = ("SeriesDescription", "ProtocolName", "PulseSequenceType", "PulseSequenceDetails")


class BidsMaps(Bids):
    """See the module."""

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        labels: str = "",
        mapping: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths, views, labels
            As `Bids.load`.
        mapping
            Config section ``source.mapping``.

        Returns
        -------
        Loaded
            One scan of the protocol's view. Its ``meta["relaxation"]`` says what it holds:
            ``kind`` (``raw``, ``map``), ``times_ms``, ``signed``, ``scheme`` and where from,
            ``unit``.

        Raises
        ------
        SubjectError
            ``view_missing``, ``several_images``, ``no_times``, ``bad_times``, ``frame_mismatch``,
            and those of
            `popscan.io.nifti`.
        """
        options = dict(mapping or {})
        folder = one_folder(paths)
        named = list_named(
            [folder, *(Path(path) for path in paths[1:])], words=ViewWords.of(self.protocol)
        )
        view, kind = self.protocol.view, kind_of(self.protocol.view)
        images = [item for item in named if not item.is_label and item.view == view]
        raw = [item for item in images if _ending(item) == kind.raw_ending]
        ready = [item for item in images if _ending(item) == kind.map_ending]
        notes = []
        if raw and options.get("use", "raw") == "raw":
            scan = _raw_scan(raw, kind, options)
            if ready:
                notes.append(f"{view}: a ready-made map is there, too; raw images are fitted")
        elif ready:
            scan = _map_scan(ready, options)
        else:
            endings = f"_{kind.map_ending} or _{kind.raw_ending}"
            raise SubjectError("view_missing", f"{folder}: no NIfTI image that ends in {endings}")
        there = [item for item in named if item.is_label and item.view == view]
        found, problems = _labels(scan, there, prefer=labels)
        return Loaded(
            scans={view: replace(scan, view=view)},
            labels={} if found is None else {view: found},
            label_problems={} if problems is None else {view: problems},
            notes=tuple(notes),
        )


def _ending(item: Named) -> str:
    return _before_resampling(item.path).rsplit("_", 1)[-1]


def _before_resampling(path: Path) -> str:
    """Stem in lower case, without the ``_Eq_1`` of dcm2niix."""
    return _RESAMPLED.sub("", stem_of(path).lower())


def last_run(
    items: Sequence[Named], name: str, *, option: str = "source.mapping.name"
) -> tuple[list[Named], int]:
    """Return the files of the last run, in order of their inversion, and how many others there are.

    `name` is a part of the right ones' names, given by the config key `option`.

    Of files of one run, those without ``desc`` and ``space``, which somebody processed; of a stack
    with a gap the one whose slices dcm2niix resampled, as those of the other lie too close.

    Raises
    ------
    SubjectError
        ``several_images`` where names differ by more than ``run``: they may be maps before and
        after contrast agent, or of several slices.
    """
    named = [item for item in items if name.lower() in item.path.name.lower()]
    if not named:
        raise SubjectError(
            "view_missing", f"{items[0].path.parent}: {len(items)} images, none named {name!r}"
        )
    kinds = {_without(item.core, "inv-", "run-") for item in named}
    last = max((_without(i.core, "inv-") for i in named), key=lambda c: [natural(t) for t in c])
    run = [item for item in named if _without(item.core, "inv-") == last]
    made = {item.path: _processed(item.path) for item in run}
    least = min(made.values(), key=lambda tokens: (len(tokens), tokens))
    if len(kinds) > 1 or (least and len(set(made.values())) > 1):
        listed = ", ".join(sorted(item.path.name for item in named)[:4])
        raise SubjectError(
            "several_images",
            f"{named[0].path.parent}: {len(named)} images that are no runs of each other "
            f"({listed}); set {option} to a part of the right ones' names",
        )
    chosen = [item for item in run if made[item.path] == least]
    again = {_before_resampling(item.path) for item in chosen if item.equalised}
    chosen = [i for i in chosen if i.equalised or stem_of(i.path).lower() not in again]
    return sorted(chosen, key=lambda item: natural(item.path.name)), len(items) - len(chosen)


def _without(core: Sequence[str], *entities: str) -> tuple[str, ...]:
    return tuple(token for token in core if not token.startswith(entities))


def _processed(path: Path) -> tuple[str, ...]:
    tokens = stem_of(path).lower().split("_")
    return tuple(token for token in tokens if token.startswith(("desc-", "space-")))


def _raw_scan(items: Sequence[Named], kind: Kind, options: Mapping[str, Any]) -> Scan:
    chosen, others = last_run(items, str(options.get("name", "")))
    scans, times, texts, phases = [], [], [], []
    for item in chosen:
        require_content(item)
        scan = read_scan(item.path)
        side = sidecar_of(item.path)
        times += _times_ms(item.path, side, kind, n=scan.array.shape[3])
        texts += [str(side.get(key, "")) for key in _HEADER_KEYS]
        scans.append(scan)
        phases.append(_phase(item.path))
    array = joined([item.path for item in chosen], scans)
    signed = all(phase is not None for phase in phases)
    if signed:
        phase = joined([item.path for item in chosen], [p for p in phases if p is not None])
        signs = signs_from_phase(np.moveaxis(phase, 3, 0), times)
        array = np.abs(array) * np.moveaxis(signs, 0, 3).astype(np.float32)
    scheme, by = named_scheme(" ".join(texts), str(options.get("scheme", "auto")))
    meta = {
        **header_conflicts(scan.meta for scan in scans),
        **bids_meta(chosen[0].path),
        "relaxation": {
            "kind": "raw", "times_ms": times, "signed": signed, "scheme": scheme, "scheme_by": by,
        },
    }  # fmt: skip
    if any(item.equalised for item in chosen):
        meta["resampled_slices"] = True
    if others:
        meta |= {"images_left_out": others, "images_left_out_reason": f"{others} not of this run"}
    return replace(scans[0], array=array, frame_times_ms=None, meta=meta)


def joined(paths: Sequence[Path], scans: Sequence[Scan]) -> NDArray[np.float32]:
    """Return the images of several files on one grid, (x, y, z, n).

    Raises
    ------
    SubjectError
        ``frame_mismatch``.
    """
    first = scans[0]
    for path, scan in zip(paths, scans, strict=True):
        same = scan.array.shape[:3] == first.array.shape[:3]
        if not same or not np.allclose(scan.affine, first.affine, atol=0.1 * min(first.spacing_mm)):
            raise SubjectError(
                "frame_mismatch",
                f"{path}: grid {scan.array.shape[:3]}; that of the first, {first.array.shape[:3]} "
                "at the same place, expected",
            )
    return np.concatenate([scan.array for scan in scans], axis=3).astype(np.float32)


def _phase(path: Path) -> Scan | None:
    """Phase image beside a magnitude image; None where its name says no part, or there is none."""
    other = path.with_name(path.name.replace("part-mag", "part-phase"))
    return read_scan(other) if other != path and other.is_file() else None


def sidecar_of(path: Path) -> Mapping[str, Any]:
    """Return an image's sidecar; empty without one."""
    side = sidecar_path(path)
    if not side.exists():  # dcm2niix writes none beside a stack that it resampled
        side = side.with_name(_RESAMPLED.sub("", side.stem, count=1) + side.suffix)
    data = read_json(side) if side.exists() else {}
    return data if isinstance(data, Mapping) else {}


def _times_ms(path: Path, side: Mapping[str, Any], kind: Kind, *, n: int) -> list[float]:
    """Return the times of a file's images; a sidecar gives them in seconds."""
    given = side.get(kind.time_key)
    values = given if isinstance(given, list) else [given]
    numbers = [number_of(value) for value in values]
    if given is None or any(number is None for number in numbers):
        raise SubjectError(
            "no_times", f"{path}: its sidecar has no number {kind.time_key} (seconds expected)"
        )
    if len(numbers) != n:
        raise SubjectError(
            "bad_times", f"{path}: {len(numbers)} of {kind.time_key} for {n} image(s)"
        )
    seconds = [number for number in numbers if number is not None]
    if max(seconds) > _MOST_S:
        raise SubjectError(
            "bad_times",
            f"{path}: {kind.time_key} {max(seconds):g}; seconds up to {_MOST_S:g} expected",
        )
    return [1000.0 * value for value in seconds]


def _map_scan(items: Sequence[Named], options: Mapping[str, Any]) -> Scan:
    chosen, others = last_run(items, str(options.get("name", "")))
    require_content(chosen[0])
    scan = read_scan(chosen[0].path)
    # NaN is how many programs write that a voxel has no value.
    scan = replace(scan, array=np.nan_to_num(scan.array, posinf=0.0, neginf=0.0))
    stated = str(sidecar_of(chosen[0].path).get("Units", "")).strip()
    meta: dict[str, Any] = {
        **header_conflicts([scan.meta]),
        **bids_meta(chosen[0].path),
        "relaxation": {
            "kind": "map", "unit": str(options.get("unit", "auto")), "unit_stated": stated,
            "factor": float(options.get("factor", 1.0)),
        },
    }  # fmt: skip
    if chosen[0].equalised:
        meta["resampled_slices"] = True
    left = others + len(chosen) - 1
    if left:
        meta |= {"images_left_out": left, "images_left_out_reason": f"{left} not of this run"}
    return replace(scan, frame_times_ms=None, meta=meta)


def _labels(
    scan: Scan, items: Sequence[Named], *, prefer: str
) -> tuple[LabelMap | None, SubjectError | None]:
    """Labels of the one label file, repeated for every image; or why there are none."""
    path, problem = label_file(items, prefer=prefer)
    if path is None:
        return None, problem
    try:
        return every_frame(read_reference(path, scan), scan), None
    except SubjectError as error:
        return None, error


def label_file(items: Sequence[Named], *, prefer: str) -> tuple[Path | None, SubjectError | None]:
    """Return the one label file; or why there is none, where several are there."""
    if prefer:
        items = [
            item for item in items
            if prefer.lower() in (item.maker.lower(), *stem_of(item.path).lower().split("_"))
        ]  # fmt: skip
    if not items:
        return None, None
    if len(items) > 1:
        names = ", ".join(sorted({item.maker or "beside the image" for item in items}))
        return None, SubjectError(
            "several_labels", f"{len(items)} label files ({names}); set source.labels to one maker"
        )
    return items[0].path, None


def every_frame(labels: LabelMap, scan: Scan) -> LabelMap:
    """Return labels of one volume for every image of a scan.

    Raises
    ------
    SubjectError
        ``label_mismatch`` for more than one volume.
    """
    n = scan.array.shape[3]
    if labels.array.shape[3] == n:
        return labels
    if labels.array.shape[3] != 1:
        raise SubjectError(
            "label_mismatch", f"labels of {labels.array.shape[3]} volumes; one expected"
        )
    return LabelMap(array=np.repeat(labels.array, n, axis=3), frames=tuple(range(n)))
