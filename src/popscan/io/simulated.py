"""Simulated subjects as files: k-space or images, true labels, reference image and true values.

``sub-X/[ses-Y/]{view}_kspace.h5`` or ``{view}_cine.nii.gz``, ``{view}_dseg.nii.gz``,
``{view}_reference.nii.gz`` and ``truth.json`` (column -> number or word).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from popscan.ingest.checks import number_of
from popscan.io.bids import find_visits
from popscan.io.folders import Folders
from popscan.io.jsonfile import read_json, write_json
from popscan.io.kspace import read_kspace, write_kspace
from popscan.io.nifti import read_labels, read_scan, write_labels, write_scan
from popscan.io.sources import Found, Loaded, one_folder
from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import KSpace, LabelMap, PopscanError, Scan, SubjectError

_ENDINGS = ("_kspace.h5", "_cine.nii.gz")


class Simulated:
    """Source ``simulated``: what `write_simulated` wrote."""

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the ``sub-*/[ses-*/]`` folders of `root`."""
        return find_visits(root, problems, folders)

    def load(self, paths: Sequence[str], *, views: Sequence[str] | None = None) -> Loaded:
        """Read a simulated visit; a view has k-space or an image.

        Parameters
        ----------
        paths
            The visit's folder.
        views
            Views wanted; None for all that are there.

        Returns
        -------
        Loaded
            `extra` holds the numbers and words of ``truth.json``.

        Raises
        ------
        SubjectError
            ``view_missing`` if none of the views is there, and those of the readers.
        """
        folder = one_folder(paths)
        scans: dict[str, Scan] = {}
        kspace: dict[str, KSpace] = {}
        labels: dict[str, LabelMap] = {}
        references: dict[str, Scan] = {}
        for view in _views_there(folder):
            if views is not None and view not in views:
                continue
            if (folder / f"{view}_kspace.h5").exists():
                kspace[view] = read_kspace(folder / f"{view}_kspace.h5")
            else:
                scans[view] = read_scan(folder / f"{view}_cine.nii.gz")
            if (folder / f"{view}_dseg.nii.gz").exists():
                labels[view] = read_labels(folder / f"{view}_dseg.nii.gz")
            if (folder / f"{view}_reference.nii.gz").exists():
                references[view] = read_scan(folder / f"{view}_reference.nii.gz")
        if not scans and not kspace:
            wanted = "any view" if views is None else ", ".join(views)
            raise SubjectError("view_missing", f"{folder}: no k-space and no image of {wanted}")
        return Loaded(
            scans=scans,
            kspace=kspace,
            labels=labels,
            references=references,
            extra=_truth(folder / "truth.json"),
        )


def write_simulated(
    folder: str | Path,
    *,
    scan: Scan | None = None,
    kspace: KSpace | None = None,
    labels: LabelMap | None = None,
    reference: Scan | None = None,
    truth: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write one simulated view; `Simulated.load` reads it back.

    Parameters
    ----------
    folder
        The visit's folder, made if it is not there.
    scan
        Image as acquired; only without `kspace`.
    kspace
        k-space as acquired.
    labels
        True labels on the grid of `reference` or `scan`, one of which is needed then.
    reference
        Image to compare reconstructions with.
    truth
        True values, flat.

    Returns
    -------
    list of Path
        Files written, sidecars left out.
    """
    if (scan is None) == (kspace is None):
        raise ValueError("either a scan or k-space is written")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    if kspace is not None:
        view = kspace.view
        written.append(folder / f"{view}_kspace.h5")
        write_kspace(written[-1], kspace)
    elif scan is not None:
        view = scan.view
        written.append(folder / f"{view}_cine.nii.gz")
        write_scan(written[-1], scan)
    if reference is not None:
        written.append(folder / f"{view}_reference.nii.gz")
        write_scan(written[-1], reference)
    if labels is not None:
        like = reference or scan
        if like is None:
            raise ValueError("labels need a scan or a reference image")
        written.append(folder / f"{view}_dseg.nii.gz")
        write_labels(written[-1], labels, like)
    if truth is not None:
        written.append(folder / "truth.json")
        write_json(written[-1], dict(truth))
    return written


def _views_there(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()]
    return sorted({n.removesuffix(e) for n in names for e in _ENDINGS if n.endswith(e)})


def _truth(path: Path) -> dict[str, str | float]:
    if not path.exists():
        return {}
    try:
        data = read_json(path)
    except PopscanError as error:
        raise SubjectError("bad_sidecar", str(error)) from error
    if not isinstance(data, dict):
        raise SubjectError("bad_sidecar", f"{path}: a JSON object is expected")
    out: dict[str, str | float] = {}
    for key, value in data.items():
        if value is None:
            out[key] = math.nan
        elif isinstance(value, str):
            out[key] = value
        elif isinstance(value, (int, float)):
            number = number_of(value)
            out[key] = math.nan if number is None else number
    return out
