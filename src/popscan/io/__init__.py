"""Reading and writing: the only code that knows file formats."""

from popscan.io.bart import read_cfl
from popscan.io.cohort import read_cohort, read_participants
from popscan.io.jsonfile import read_json, write_json
from popscan.io.kspace import read_kspace, read_kspace_mat, write_kspace
from popscan.io.nifti import read_labels, read_scan, write_labels, write_scan
from popscan.io.problems import Problem
from popscan.io.sources import Found, Loaded, get_source
from popscan.io.tables import subject_label

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
