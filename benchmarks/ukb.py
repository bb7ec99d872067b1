"""What it costs to read UK Biobank's zips as they are, against unpacking them first.

Made-up cines of UK Biobank's size (50 frames x 10 slices, with the vendor's private header) in bulk
zips. Both ways are measured in turn, several times, in this process: CPU seconds of reading a
subject from its zip, and of unpacking it into a folder and reading that with the source ``dicom``.

    python benchmarks/ukb.py                         2 subjects, 5 rounds
    python benchmarks/ukb.py --subjects 1 --rounds 2 a look
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from popscan.io.dicom import Dicom
from popscan.io.ukb import Ukb
from popscan.records import Scan

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from ukb_files import FIRST_EID, bulk_name, short_axis, write_zip

#: Bytes of the private header of a vendor's DICOM file.
CSA_BYTES = 60_000


def cine(seed: int, *, frames: int, slices: int, matrix: tuple[int, int]) -> Scan:
    """Return a short-axis stack whose values compress about as those of a scanner do."""
    rng = np.random.default_rng(seed)
    apex = np.array([-1.0, 1.0, -1.0]) / np.sqrt(3)
    row = np.array([-1.0, -1.0, 0.0]) / np.sqrt(2)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * 1.83, np.cross(apex, row) * 1.83
    affine[:3, 2] = apex * 10.0
    smooth = rng.gamma(2.0, 60.0, (*matrix, slices, 1))
    array = smooth + rng.normal(0, 12, (*matrix, slices, frames))
    return Scan(
        array=np.clip(array, 0, 4095).astype(np.int16), affine=affine, spacing_mm=(1.83, 1.83, 10.0)
    )


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of a piece of work, those of the system included."""
    began = time.process_time()
    work()
    return time.process_time() - began


def from_zip(path: Path) -> Scan:
    """Read a subject from its zip."""
    return Ukb().load([str(path)], views=["sax"]).scans["sax"]


def unpacked(path: Path, folder: Path) -> Scan:
    """Unpack a subject, then read the folder."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return Dicom().load([str(folder)], views=["sax"]).scans["sax"]


def main() -> None:
    """Print CPU seconds per subject, files and bytes, both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--slices", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        zips = []
        for n in range(options.subjects):
            scan = cine(n, frames=options.frames, slices=options.slices, matrix=(208, 168))
            eid = str(FIRST_EID + n)
            images = short_axis(scan, eid=eid, csa_bytes=CSA_BYTES)
            zips.append(write_zip(root / bulk_name(eid, 20209), images))
        folder, n_files = root / "unpacked", 0
        times: list[tuple[float, float]] = []
        for turn in range(options.rounds):
            for path in zips:
                ways = [lambda p=path: from_zip(p), lambda p=path: unpacked(p, folder)]
                order = (0, 1) if turn % 2 else (1, 0)
                spent = {way: cpu(ways[way]) for way in order}
                times.append((spent[0], spent[1]))
                n_files = sum(1 for p in folder.rglob("*"))
                n_bytes = sum(p.stat().st_size for p in folder.rglob("*"))
                shutil.rmtree(folder)
        same = np.array_equal(from_zip(zips[0]).array, unpacked(zips[0], folder).array)
        size = zips[0].stat().st_size
    zipped, plain = np.array(times).T
    ratios = zipped / plain
    print(f"{options.frames} frames x {options.slices} slices, {len(times)} pairs; equal: {same}")
    print(f"from the zip        {np.median(zipped):6.2f} CPU-s, 1 file, {size / 1e6:.0f} MB")
    print(f"unpacked, then read {np.median(plain):6.2f} CPU-s, {n_files} files, "
          f"{(n_bytes + size) / 1e6:.0f} MB")  # fmt: skip
    print(
        f"ratio               {np.median(ratios):6.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    )
    print(f"peak memory         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
