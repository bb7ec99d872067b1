"""Names of the files that stages write, BIDS-like: what the protocol calls its views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from popscan.protocol import Protocol
from popscan.records import Arrays, KSpace, LabelMap, Scan, Subject


@dataclass(frozen=True)
class FileNames:
    """File names of a protocol; `view` is the one that is segmented unless another is given."""

    protocol: Protocol

    def image(self, subject: Subject, view: str = "", *, desc: str = "") -> str:
        """Return the name of an image: ``sub-1_T1w.nii.gz``."""
        view = view or self.protocol.view
        return f"{self._prefix(subject, view, desc)}_{self.protocol.suffix(view)}.nii.gz"

    def labels(self, subject: Subject, view: str = "", *, desc: str = "") -> str:
        """Return the name of a label map."""
        return f"{self._prefix(subject, view, desc)}_dseg.nii.gz"

    def kspace(self, subject: Subject, view: str = "") -> str:
        """Return the name of k-space."""
        return f"{self._prefix(subject, view, '')}_kspace.h5"

    def samples(self, subject: Subject) -> str:
        """Return the name of the volumes of the segmentation's samples."""
        return f"{self._prefix(subject, '', 'samples')}_volumes.json"

    def uncertainty(self, subject: Subject, kind: str) -> str:
        """Return the name of an uncertainty map: ``entropy`` or ``information``, in nats."""
        return f"{self._prefix(subject, '', kind)}_uncertainty.nii.gz"

    def fields(self, subject: Subject) -> str:
        """Return the name of the displacements over the cycle."""
        return f"{self._prefix(subject, '', 'motion')}_fields.npz"

    def variant(self, name: str) -> str | None:
        """Return ``desc`` of an image's file name (empty without one); None for other files."""
        ending = f"_{self.protocol.suffix(self.protocol.view)}.nii.gz"
        if not name.endswith(ending):
            return None
        return name.removesuffix(ending).partition("_desc-")[2]

    def _prefix(self, subject: Subject, view: str, desc: str) -> str:
        view = view or self.protocol.view
        return f"{subject.unit}_acq-{view}" + (f"_desc-{desc}" if desc else "")

    def write(self, path: Path, content: object) -> None:
        """Write what a stage put out, by its type.

        Parameters
        ----------
        path
            Where to; its name says the format.
        content
            `Scan`, (`LabelMap`, `Scan` on whose grid it lies), `KSpace`, `Arrays`, or a mapping for
            JSON.
        """
        from popscan.io.jsonfile import write_json
        from popscan.io.kspace import write_kspace
        from popscan.io.nifti import write_labels, write_scan
        from popscan.npzfile import write_npz

        match content:
            case Scan():
                write_scan(path, content)
            case KSpace():
                write_kspace(path, content)
            case (LabelMap() as labels, Scan() as like):
                write_labels(path, labels, like, names=self.protocol.labels.names)
            case Arrays():
                write_npz(path, content.arrays)
            case Mapping():
                write_json(path, content)
            case _:
                raise TypeError(f"{path.name}: no writer for {type(content).__name__}")
