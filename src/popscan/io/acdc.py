"""The ACDC challenge's own layout (Bernard et al., IEEE TMI 2018, doi:10.1109/TMI.2018.2837502).

``patientNNN/Info.cfg`` (ED, ES, Group, Height in cm, NbFrame, Weight in kg),
``patientNNN_frameMM.nii.gz`` and ``..._gt.nii.gz`` for the two labelled phases, and, in the
original, ``patientNNN_4d.nii.gz``. Labels are coded as in `popscan.records.Label`. Headers have
lost the orientation; slices run from base to apex and pixels lie as popscan defines it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.ingest.checks import number_of
from popscan.io.folders import Folders
from popscan.io.nifti import read_scan
from popscan.io.references import read_reference
from popscan.io.sources import Found, Loaded, found_folders, one_folder
from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import LabelMap, Scan, SubjectError
from popscan.yamlfile import shown

_PHASES = ("ED", "ES")


class Acdc:
    """Source ``acdc``: one ``patientNNN`` folder per subject, view ``sax`` only."""

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the ``patientNNN`` folders of `root`; other folders are not patients."""
        listed = (folders or Folders()).names(root)
        names = [n for n in listed if n.removeprefix("sub-").startswith("patient")]
        return found_folders(root, names, problems)

    def load(self, paths: Sequence[str], *, views: Sequence[str] | None = None) -> Loaded:
        """Read a patient: two frames (ED, ES), or the whole cine where the 4D file is there.

        Parameters
        ----------
        paths
            The patient's folder.
        views
            Nothing is read unless it is None or holds ``sax``.

        Returns
        -------
        Loaded
            ``meta`` of the scan has ``frame_labels`` (``["ED", "ES"]``), ``frame_index`` (their
            numbers in the acquired cine, from 0) and ``n_frames_acquired``; `labels` if they are
            there (the test set has none); `extra` has ``group``, ``height_cm``, ``weight_kg``.

        Raises
        ------
        SubjectError
            ``info_missing``, ``bad_info``, ``file_missing``, ``frame_mismatch``, and those of
            `popscan.io.nifti.read_scan`. Labels that cannot be used are in `label_problems`.
        """
        if views is not None and "sax" not in views:
            return Loaded()
        folder = one_folder(paths)
        info = read_info(folder)
        index = [_whole(folder, info, phase) - 1 for phase in _PHASES]
        if index[0] == index[1]:
            raise SubjectError(
                "bad_info", f"{folder / 'Info.cfg'}: ED and ES are both frame {index[0] + 1}"
            )
        stem = folder.name.removeprefix("sub-")
        meta: dict[str, Any] = {"frame_index": index, "orientation_known": False}
        if "nbframe" in info:
            meta["n_frames_acquired"] = _whole(folder, info, "NbFrame")
        cine = _packed_or_not(folder, f"{stem}_4d")
        if cine.exists():
            scan, frames = read_scan(cine), tuple(index)
            if max(index) >= scan.array.shape[3]:
                raise SubjectError(
                    "bad_info",
                    f"{folder / 'Info.cfg'}: frame {max(index) + 1} of {scan.array.shape[3]}",
                )
            meta["n_frames_acquired"] = scan.array.shape[3]
        else:
            scan, frames = _two_frames(folder, stem, index), (0, 1)
            meta["frame_labels"] = list(_PHASES)
        labels, problem, note = _labels(folder, stem, scan, list(zip(index, frames, strict=True)))
        scan = replace(scan, view="sax", meta={**scan.meta, **meta})
        return Loaded(
            scans={"sax": scan},
            labels={} if labels is None else {"sax": labels},
            extra=_extra(info),
            label_problems={} if problem is None else {"sax": problem},
            notes=(note,) if note else (),
        )


def read_info(folder: str | Path) -> dict[str, str]:
    """Read ``Info.cfg``: keys in lower case, values as text.

    Raises
    ------
    SubjectError
        ``info_missing`` if it is not there, ``bad_info`` if it is not such a file.
    """
    path = Path(folder) / "Info.cfg"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SubjectError(
            "info_missing", f"{path}: not found; ACDC says there which frames are ED and ES"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError("bad_info", f"{path}: cannot be read ({error})") from error
    info: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        key = name.lower()
        if colon and info.setdefault(key, value) != value:
            raise SubjectError(
                "bad_info", f"{path}: {shown(name)} is {shown(info[key])} and {shown(value)}"
            )
    return info


def _whole(folder: Path, info: dict[str, str], key: str) -> int:
    try:
        number = float(info[key.lower()])
        if not number.is_integer():
            raise ValueError(number)
        value = int(number)
    except (KeyError, ValueError, OverflowError) as error:
        found = info.get(key.lower(), "nothing")
        raise SubjectError(
            "bad_info", f"{folder / 'Info.cfg'}: {key} must be a frame number, found {shown(found)}"
        ) from error
    if value < 1:
        raise SubjectError(
            "bad_info", f"{folder / 'Info.cfg'}: {key} is {value}, frames start at 1"
        )
    return value


def _frame_file(folder: Path, stem: str, index: int, ending: str = "") -> Path:
    """Path of a frame's file, packed or not."""
    return _packed_or_not(folder, f"{stem}_frame{index + 1:02d}{ending}")


def _packed_or_not(folder: Path, stem: str) -> Path:
    packed, plain = folder / f"{stem}.nii.gz", folder / f"{stem}.nii"
    return plain if plain.exists() and not packed.exists() else packed


def _two_frames(folder: Path, stem: str, index: Sequence[int]) -> Scan:
    scans = [read_scan(_frame_file(folder, stem, i)) for i in index]
    first, second = (scan.array[..., :1] for scan in scans)
    if first.shape != second.shape or not np.allclose(
        scans[0].spacing_mm, scans[1].spacing_mm, rtol=1e-3
    ):
        raise SubjectError("frame_mismatch", f"{folder}: ED {first.shape} and ES {second.shape}")
    both = np.concatenate([first, second], axis=3)
    return replace(scans[0], array=both, frame_times_ms=None)


def _labels(
    folder: Path, stem: str, scan: Scan, frames: Sequence[tuple[int, int]]
) -> tuple[LabelMap | None, SubjectError | None, str]:
    """Read the labels that are there, by number in the acquired cine and frame of the scan.

    A file that is missing or cannot be used costs its own frame, not the other one: then a note
    says so, and where no frame is left the problem is returned.
    """
    array: NDArray[Any] = np.zeros(scan.array.shape, dtype=np.uint16)
    labelled: list[int] = []
    unused: list[str] = []
    problem: SubjectError | None = None
    for acquired, frame in frames:
        file = _frame_file(folder, stem, acquired, "_gt")
        if not file.exists() and not file.is_symlink():
            unused.append(f"{file.name}: no such file")
            continue
        try:
            array[..., frame] = read_reference(file, scan).array[..., 0]
            labelled.append(frame)
        except SubjectError as error:
            problem = error
            unused.append(str(error))
    if not labelled:
        return None, problem, ""
    note = f"labels of {', '.join(unused)}; that frame is not scored" if unused else ""
    return LabelMap(array=array, frames=tuple(sorted(labelled))), None, note


def _extra(info: dict[str, str]) -> dict[str, str | float]:
    extra: dict[str, str | float] = {}
    if info.get("group"):
        extra["group"] = info["group"]
    for key, column in (("height", "height_cm"), ("weight", "weight_kg")):
        value = number_of(info.get(key)) or math.nan
        extra[column] = value if value > 0 else math.nan
    return extra
