"""What planning costs: first plan, and plans after it, of a large study of small files.

Writes a BIDS-like tree with a folder, a view's folder and two files per subject (or a series of
many), and measures ``popscan plan``: the first time, again with nothing new, as the workflow does
it, after changes, and without its index, which is what every plan would cost without one.

    python benchmarks/plan.py                                 100,000 subjects, two files each
    python benchmarks/plan.py --subjects 2000 --files 300     series, as in DICOM studies
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from dag import measure, scratch

CONFIG = """
study: {name: big}
source: {kind: bids, root: raw}
"""
#: What changed within so many seconds before a plan is not relied on by the next one.
SETTLE_S = 6.0


def write_subject(raw: Path, index: int, files: int) -> None:
    """Write one subject's folder."""
    name = f"sub-{index:06d}"
    folder = raw / name / "cine"
    folder.mkdir(parents=True)
    for number in range(files - 1):
        end = f"_frame-{number:03d}" if files > 2 else ""
        (folder / f"{name}_acq-sax{end}_cine.nii.gz").write_bytes(b"x" * 100)
    (folder / f"{name}_acq-sax_cine.json").write_text("{}")


def write_table(raw: Path, n: int) -> None:
    """Write the cohort table."""
    head = "participant_id\tsex\tage_years\theight_cm\tweight_kg\n"
    rows = (f"sub-{i:06d}\tfemale\t{40 + i % 40}\t170\t70\n" for i in range(n))
    (raw / "participants.tsv").write_text(head + "".join(rows))


def plan(folder: Path, title: str, *arguments: str) -> float:
    """Plan and print what it took; CPU seconds."""
    command = [sys.executable, "-m", "popscan", "plan", "--configfile", "config.yaml"]
    cost = measure([*command, *arguments], folder)
    told = "; ".join(line for line in cost.text.splitlines() if line)
    row = f"{title:<34}{cost.wall_s:>8.1f}{cost.cpu_s:>8.1f}{cost.peak_gb:>7.2f}  {told[:90]}"
    print(row, flush=True)
    return cost.cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=2, help="files per subject")
    arguments = parser.parse_args()
    n = arguments.subjects
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {n} x {arguments.files} files")
    print(f"{'plan':<34}{'wall s':>8}{'cpu s':>8}{'GB':>7}  told")
    with scratch() as folder:
        (folder / "config.yaml").write_text(CONFIG)
        raw = folder / "raw"
        for index in range(n):
            write_subject(raw, index, arguments.files)
        write_table(raw, n)
        time.sleep(SETTLE_S)
        plan(folder, "first")
        again = plan(folder, "again, by hand")
        trusted = plan(folder, "again, as the workflow does it", "--trust-folders")
        for index in range(n, n + 10):
            write_subject(raw, index, arguments.files)
        write_table(raw, n + 10)
        plan(folder, "ten new subjects")
        changed = next((raw / "sub-000003" / "cine").glob("*.nii.gz"))
        changed.write_bytes(b"another")
        shutil.rmtree(raw / "sub-000005")
        plan(folder, "one changed, one's folder gone")
        (folder / "results" / "big" / "plan" / "folders.json").unlink()
        without = plan(folder, "again, without the index")
        print(f"without / with index, CPU time: {without / again:.1f}, {without / trusted:.1f}")


if __name__ == "__main__":
    main()
