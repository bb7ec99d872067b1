"""Reading and writing: the only code that knows file formats."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popscan.io.bart import read_cfl
    from popscan.io.cohort import read_cohort, read_participants
    from popscan.io.jsonfile import read_json, write_json
    from popscan.io.kspace import read_kspace, read_kspace_mat, write_kspace
    from popscan.io.nifti import read_labels, read_scan, write_labels, write_scan
    from popscan.io.problems import Problem
    from popscan.io.sources import Found, Loaded, get_source
    from popscan.io.tables import subject_label

#: What is offered here -> where it lives; resolved on first use, since each format has its library.
_WHERE = {
    "Found": "sources",
    "Loaded": "sources",
    "Problem": "problems",
    "get_source": "sources",
    "read_cfl": "bart",
    "read_cohort": "cohort",
    "read_json": "jsonfile",
    "read_kspace": "kspace",
    "read_kspace_mat": "kspace",
    "read_labels": "nifti",
    "read_participants": "cohort",
    "read_scan": "nifti",
    "subject_label": "tables",
    "write_json": "jsonfile",
    "write_kspace": "kspace",
    "write_labels": "nifti",
    "write_scan": "nifti",
}

__all__ = [
    "Found",
    "Loaded",
    "Problem",
    "get_source",
    "read_cfl",
    "read_cohort",
    "read_json",
    "read_kspace",
    "read_kspace_mat",
    "read_labels",
    "read_participants",
    "read_scan",
    "subject_label",
    "write_json",
    "write_kspace",
    "write_labels",
    "write_scan",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
