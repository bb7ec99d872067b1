"""Subjects per hour and core of every stage on images, and where its time goes.

    python benchmarks/throughput.py --kinds acdc --subjects 2              a look
    python benchmarks/throughput.py --baseline 2ac06e8                     half an hour

Studies of a few simulated subjects with noise, in three sizes:

    acdc        two frames of ten slices (ED and ES), as ACDC is used most
    acdc-cine   thirty frames of ten slices, as ACDC was acquired
    ukb         fifty frames of ten slices of 208 x 192, as UK Biobank's

Each stage runs in a process of its own on one thread. CPU seconds (user and system) per subject of
reading, computing and writing are medians over the subjects (the lower one of two: the first
subject pays for what is loaded once); start-up is what the process took beyond its subjects. With
``--baseline`` the same raw files go through an older build in the same run, and every record (its
status, words, values and rows) and the bytes of its files, inflated, are held against the older
one's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dag import measure, scratch
from popscan.io.nifti import write_labels, write_scan
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.records import LabelMap
from study import checkout, command

ROOT = Path(__file__).resolve().parents[1]
CHILD = Path(__file__).with_name("throughput_stage.py")
#: Kind -> frames, in-plane voxels, their size in mm.
KINDS = {
    "acdc": (2, (216, 256), 1.56),
    "acdc-cine": (30, (216, 256), 1.56),
    "ukb": (50, (208, 192), 1.8),
}
SLICES = 10
SUBJECT_STAGES = ("ingest", "reconstruct", "segment", "score", "qc", "biomarkers", "motion", "rca")
ORDER = (
    "plan", "ingest", "reconstruct", "segment", "score", "qc", "biomarkers", "motion",
    "rca_references", "rca", "collect", "atlas_prepare", "atlas_subjects", "atlas_map",
)  # fmt: skip
#: Shown; the others are needed by these.
SHOWN = (*SUBJECT_STAGES, "atlas_prepare", "atlas_map")
#: Together at most a third of segmentation's.
LIGHT = ("ingest", "qc", "biomarkers")
PARTS = ("read", "compute", "write")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """CPU seconds of a stage: per subject by part, and once per job."""

    parts: Mapping[str, float]
    start_up: float

    @property
    def each(self) -> float:
        """Of a subject."""
        return sum(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one build took of one kind, and the digests of what it made."""

    name: str
    stages: dict[str, Taken] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)


def write_raw(folder: Path, kind: str, *, subjects: int, seed: int) -> None:
    """Write simulated patients in ACDC's layout, those that are not there yet."""
    frames, matrix, spacing = KINDS[kind]
    people = sample_population(subjects, seed=seed).to_dict("records")
    for number, person in enumerate(people, 1):
        patient = folder / f"patient{number:03d}"
        if (patient / "Info.cfg").exists():
            continue
        patient.mkdir(parents=True, exist_ok=True)
        row = {str(name): value for name, value in person.items()}
        made = simulate_subject(
            row,
            seed=seed,
            kspace=False,
            matrix=matrix,
            spacing_mm=(spacing, spacing),
            frames=frames,
            slices=SLICES,
            noise=0.05,
            fine=(1, 1),
        )
        scan, cavity = made.scan, (made.labels.array == 3).sum(axis=(0, 1, 2))
        array = np.clip(scan.array * (1000.0 / np.percentile(scan.array, 99)), 0, 30000)
        scan = replace(scan, array=array.astype(np.int16), meta={})
        phases = {"ED": int(cavity.argmax()), "ES": int(cavity.argmin())}
        if frames > 2:
            write_scan(patient / f"{patient.name}_4d.nii.gz", scan)
        for frame in phases.values():
            name = patient / f"{patient.name}_frame{frame + 1:02d}"
            one = replace(scan, array=scan.array[..., frame : frame + 1], frame_times_ms=None)
            write_scan(Path(f"{name}.nii.gz"), one)
            labels = LabelMap(array=made.labels.array[..., frame : frame + 1], frames=(0,))
            write_labels(Path(f"{name}_gt.nii.gz"), labels, one)
        for side in patient.glob("*.json"):
            side.unlink()
        info = {**{name: frame + 1 for name, frame in phases.items()}, "Group": "NOR"}
        info |= {"Height": 170.0, "NbFrame": frames, "Weight": 75.0}
        text = "".join(f"{name}: {value}\n" for name, value in info.items())
        (patient / "Info.cfg").write_text(text)


def run_build(
    name: str, tree: Path, raw: Path, folder: Path, *, stages: Sequence[str], frames: int
) -> Build:
    """Run the stages of one build on the raw files."""
    on = {"enabled": True}
    config: dict[str, Any] = {
        "study": {"name": "images", "results": str(folder)},
        "source": {"kind": "acdc", "root": str(raw)},
        "plan": {"shard_size": 1000},
        "segment": {"model": str(ROOT / "resources" / "models" / "cine_sax"), "device": "cpu"},
        "atlas": on,
        "rca": {**on, "references": "simulated"},
    }
    if frames > 2:
        config["stages"] = {"motion": on}
    path, study, build = folder / "config.yaml", folder / "images", Build(name=name)
    path.write_text(yaml.safe_dump(config))
    for stage in stages:
        done = measure(command(tree, CHILD, study, path, stage), folder)
        printed = json.loads(done.text.splitlines()[-1])
        parts = {part: _middle(printed["parts"].get(part, [])) for part in PARTS}
        rest = done.cpu_s - sum(sum(values) for values in printed["parts"].values())
        build.stages[stage] = Taken(parts=parts, start_up=rest)
        if stage in SUBJECT_STAGES:
            build.digests[stage] = _digests(study, stage)
    return build


def _middle(values: Sequence[float]) -> float:
    return statistics.median_low(values) if values else 0.0


def _digests(study: Path, stage: str) -> dict[str, str]:
    """Return unit -> digest of its record of a stage and of its files, inflated."""
    found = {}
    for line in (study / "store" / stage / "00000.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "digest" in record:
            stated = [
                record.get(name) for name in ("status", "reason", "message", "values", "rows")
            ]
            digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
            for name in sorted(record["files"]):
                digest.update(name.encode() + _content(study / name))
            found[record["unit"]] = digest.hexdigest()
    return found


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def per_job(build: Build, stage: str, *, subjects: int) -> Taken:
    """Return the costs of a stage; those of a job of all subjects divided among them."""
    taken = build.stages[stage]
    if stage in SUBJECT_STAGES:
        return taken
    return replace(taken, parts={k: v / subjects for k, v in taken.parts.items()})


def show(kind: str, new: Build, old: Build | None, *, subjects: int) -> None:
    """Print the table of one kind."""
    print(f"\n{kind}: {KINDS[kind][0]} frames x {SLICES} slices; CPU seconds per subject")
    head = f"{'stage':<14}{'read':>8}{'compute':>9}{'write':>8}{'all':>8}{'start-up':>10}"
    print(f"{head}{'per h, core':>13}" + (f"{old.name:>12}{'times':>7}  same" if old else ""))
    for stage in (one for one in SHOWN if one in new.stages):
        taken = per_job(new, stage, subjects=subjects)
        cells = "".join(f"{taken.parts[p]:>{w}.3f}" for p, w in zip(PARTS, (8, 9, 8), strict=True))
        line = f"{stage:<14}{cells}{taken.each:>8.3f}{taken.start_up:>10.2f}"
        line += f"{3600 / max(taken.each, 1e-4):>13,.0f}"
        if old:
            before = per_job(old, stage, subjects=subjects).each
            line += f"{before:>12.3f}{before / max(taken.each, 1e-4):>7.1f}"
            line += f"  {_same(new, old, stage)}"
        print(line)
    for build in (new, old):
        if build and "segment" in build.stages:
            light = sum(build.stages[stage].each for stage in LIGHT if stage in build.stages)
            share = light / build.stages["segment"].each
            print(f"{build.name}: {' + '.join(LIGHT)} take {share:.2f} of segment's CPU time")


def _same(new: Build, old: Build, stage: str) -> str:
    """Say how many records are the older build's, bytes of files, values and rows included."""
    if stage not in new.digests:
        return ""
    now, before = new.digests[stage], old.digests[stage]
    equal = sum(now[unit] == before.get(unit) for unit in now)
    return f"{equal}/{len(now)}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--stages", nargs="+", default=ORDER, choices=ORDER)
    parser.add_argument("--baseline", metavar="REV", help="revision that is measured beside")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", type=Path, default=ROOT / "cache" / "throughput", help="kept")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread a process")
    for kind in arguments.kinds:
        raw = arguments.raw.absolute() / f"{kind}-{arguments.seed}"
        write_raw(raw, kind, subjects=arguments.subjects, seed=arguments.seed)
        still = KINDS[kind][0] == 2
        # What every later stage reads.
        chosen = {"plan", "ingest", "reconstruct", *arguments.stages}
        stages = [one for one in ORDER if one in chosen and not (still and one == "motion")]
        options: dict[str, Any] = {"stages": stages, "frames": KINDS[kind][0]}
        old = None
        if arguments.baseline:
            with checkout(arguments.baseline) as tree, scratch() as folder:
                old = run_build(arguments.baseline, tree, raw, folder, **options)
        with scratch() as folder:
            new = run_build("this build", ROOT, raw, folder, **options)
        show(kind, new, old, subjects=arguments.subjects)


if __name__ == "__main__":
    main()
