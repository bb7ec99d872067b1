"""Sources of long-axis protocols: the planes of a visit, read as views, packed into one scan.

Which file or series is which view, the short-axis protocol's readers know: BIDS by the name
(``2ch``, ``la2ch``, ``4ch`` ...), DICOM by how the plane lies to the heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from popscan.io.bids import Bids
from popscan.io.dicom import Dicom
from popscan.io.rawfile import RawFile
from popscan.io.sources import Loaded
from popscan.protocol import Protocol
from popscan.protocols import get_protocol
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, VIEW, pack

#: Whose readers name the views.
_READER = "cine_sax"


class LongAxisBids(Bids):
    """Source ``bids``: images by name, labels beside them."""

    def __init__(self, protocol: Protocol | None = None) -> None:
        super().__init__(get_protocol(_READER))

    def load(
        self, paths: Sequence[str], *, views: Sequence[str] | None = None, labels: str = ""
    ) -> Loaded:
        """Read a visit as `Bids.load`; one scan of the view ``lax``.

        Raises
        ------
        SubjectError
            As `Bids.load` and `packed`.
        """
        return packed(super().load(paths, views=PLANE_VIEWS, labels=labels))


class LongAxisDicom(Dicom):
    """Source ``dicom``: views by geometry."""

    def __init__(self, protocol: Protocol | None = None) -> None:
        super().__init__(get_protocol(_READER))

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        min_frames: int = 5,
        gap_tolerance: float = 0.25,
        max_tilt_deg: float = 5.0,
    ) -> Loaded:
        """Read an exam as `Dicom.load`; one scan of the view ``lax``.

        Raises
        ------
        SubjectError
            As `Dicom.load` and `packed`.
        """
        return packed(
            super().load(
                paths,
                views=PLANE_VIEWS,
                min_frames=min_frames,
                gap_tolerance=gap_tolerance,
                max_tilt_deg=max_tilt_deg,
            )
        )

    def load_files(
        self,
        name: str,
        files: Sequence[RawFile],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
    ) -> Loaded:
        """Read an exam out of files that lie anywhere, as `load`."""
        return packed(super().load_files(name, files, views=PLANE_VIEWS, max_tilt_deg=max_tilt_deg))


def packed(loaded: Loaded) -> Loaded:
    """Return the planes of a visit as one scan.

    A view of several slices is left aside with a note, as long as another one can be used.

    Raises
    ------
    SubjectError
        ``view_missing``, ``several_planes``.
    """
    single = {view: scan for view, scan in loaded.scans.items() if scan.array.shape[2] == 1}
    there = single if any(view in single for view in PLANE_VIEWS) else loaded.scans
    notes = [
        f"{view} was not read: {scan.array.shape[2]} slices, one plane expected"
        for view, scan in loaded.scans.items()
        if view not in there
    ]
    scan, labels = pack(there, loaded.labels)
    shown = [str(plane["view"]) for plane in scan.meta["planes"]]
    notes += [f"no cine of {view}" for view in PLANE_VIEWS if view not in loaded.scans]
    errors = [error for view, error in loaded.label_problems.items() if view in shown]
    return replace(
        loaded,
        scans={VIEW: scan},
        labels={} if labels is None else {VIEW: labels},
        label_problems={VIEW: errors[0]} if errors else {},
        notes=(*loaded.notes, *notes),
    )
