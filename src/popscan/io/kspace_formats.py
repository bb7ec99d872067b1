"""Which format a file of k-space has, and its reader."""

from __future__ import annotations

from pathlib import Path

from popscan.config.kspace import KSpaceInput
from popscan.io.hdf5 import DAMAGE, open_hdf5
from popscan.io.ismrmrd import is_ismrmrd, read_ismrmrd
from popscan.io.kspace import is_popscan_kspace, read_kspace
from popscan.io.kspace_hdf5 import read_cfl_kspace, read_hdf5_kspace
from popscan.records import KSpace, SubjectError

#: Endings of files that may hold k-space; the header of a ``.cfl`` is read with it.
KSPACE_ENDINGS = frozenset({".h5", ".hdf5", ".mat", ".cfl"})


def read_any_kspace(path: str | Path, *, view: str, rules: KSpaceInput) -> KSpace:
    """Read k-space of any known format, which the content decides.

    Parameters
    ----------
    path
        The file.
    view
        Which series it is.
    rules
        What files don't say, and what is done on the way.

    Raises
    ------
    SubjectError
        ``not_kspace`` if none of the formats is there, and those of the readers.
    """
    path = Path(path)
    if path.suffix.lower() == ".cfl":
        return read_cfl_kspace(path, view=view, rules=rules)
    try:
        with open_hdf5(path) as file:
            own, ismrmrd = is_popscan_kspace(file), is_ismrmrd(file)
    except DAMAGE as error:
        raise SubjectError("bad_header", f"{path}: damaged HDF5 file") from error
    if own:
        return read_kspace(path)
    if ismrmrd:
        return read_ismrmrd(path, view=view, rules=rules)
    return read_hdf5_kspace(path, view=view, rules=rules)
