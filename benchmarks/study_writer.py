"""Write a study of any size as the workflow leaves it, without images: for benchmarks/study.py.

Records of a small finished study are multiplied and their numbers varied. Plan, journals,
manifests, inventories and benchmark files are written by popscan's own code, whichever build runs
this file.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from popscan.config import Config
from popscan.inventory import write_inventory
from popscan.plan import Planned, read_shard, read_shards, write_plan
from popscan.records import Record, Subject
from popscan.stages import STAGES, stages_of, version_of
from popscan.store import Store

try:
    from popscan.journal import record_from_dict, record_line
    from popscan.jsontext import canonical_json
except ModuleNotFoundError:  # builds before these had modules of their own
    _older = importlib.import_module("popscan.store")
    canonical_json, record_from_dict, record_line = (
        getattr(_older, name) for name in ("canonical_json", "record_from_dict", "record_line")
    )

#: Records of the demo's 24 subjects (``--save``), simulated hearts all of them.
RECORDS = Path(__file__).with_name("study_records.jsonl.gz")
#: Stages per subject, in order.
SUBJECT_STAGES = stages_of("simulated")
#: Jobs whose cost is measured.
JOBS = ("collect", "associate", "fairness", "report")
CONFIG = {
    "study": {"name": "large"},
    "source": {"kind": "simulated"},
    "atlas": {"enabled": False},
}
#: Numbers of a record vary by so much (standard deviation of their logarithm).
_SPREAD = 0.05
#: Columns of the cohort table that vary, and those drawn from another subject.
_VARIED = ("age_years", "height_cm", "weight_kg", "hr_bpm")
_DRAWN = ("site", "scanner")
_FIRST_NUMBER = re.compile(r"^[-+0-9.e]+(?= )")
_DONE = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Original:
    """One subject of the small study."""

    row: Mapping[str, str]
    records: tuple[dict[str, Any], ...]


def originals(path: Path = RECORDS) -> list[Original]:
    """Read what is multiplied."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [Original(each["row"], tuple(each["records"])) for each in map(json.loads, stream)]


def save(study: Path, path: Path) -> None:
    """Keep the records of a small study, without their files."""
    store = Store(study)
    lines = []
    for shard in read_shards(study):
        known = {stage: store.journal(stage, shard).read().records for stage in SUBJECT_STAGES}
        for planned in read_shard(study, shard):
            found = [vars(known[stage][planned.subject.unit]) for stage in SUBJECT_STAGES]
            records = [{**record, "files": {}} for record in found]
            lines.append(canonical_json({"row": dict(planned.subject.row), "records": records}))
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode())


class _Noise:
    """Factors around 1, drawn many at a time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._factors: Iterator[float] = iter(())

    def __call__(self) -> float:
        factor = next(self._factors, None)
        if factor is None:
            drawn = np.exp(_SPREAD * self._rng.standard_normal(20_000))
            self._factors = iter(drawn.tolist())
            factor = next(self._factors)
        return factor


def _number(name: str, value: float, noise: _Noise) -> float:
    """Vary a number; shares and percentages stay what they can be."""
    if value == 0 or value.is_integer() or not math.isfinite(value):
        return value
    varied = value * noise()
    if 0 < value <= 1 and not name.endswith("_mm"):
        return min(varied, 1.0)
    return min(varied, 100.0) if name.endswith("_pct") else varied


def _varied(row: Mapping[str, Any], unit: str, noise: _Noise) -> dict[str, Any]:
    new: dict[str, Any] = {
        name: _number(name, value, noise) if isinstance(value, float) else value
        for name, value in row.items()
    }
    if "unit" in new:
        new["unit"] = unit
    if "message" in new and isinstance(new.get("value"), float):  # begins with the number
        new["message"] = _FIRST_NUMBER.sub(f"{new['value']:.4g}", new["message"])
    return new


def _record(old: Mapping[str, Any], unit: str, noise: _Noise) -> Record:
    changes = {
        "unit": unit,
        "values": _varied(old["values"], unit, noise),
        "rows": tuple(_varied(row, unit, noise) for row in old["rows"]),
        "seconds": round(old["seconds"] * noise(), 4),
        "finished": _DONE,
    }
    return record_from_dict({**old, **changes})


def _row(original: Original, other: Original, noise: _Noise) -> dict[str, str]:
    row = dict(original.row) | {name: other.row[name] for name in _DRAWN}
    return row | {name: f"{float(row[name]) * noise():.1f}" for name in _VARIED}


def write_study(
    folder: Path, *, subjects: int, shard_size: int, seed: int = 1, records: Path = RECORDS
) -> Path:
    """Write a study through its per-subject stages, and what its later jobs are given.

    Parameters
    ----------
    folder
        The study is written to ``folder/results/large``, what its jobs are given to
        ``folder/given``.
    subjects, shard_size
        How many, and how many in a shard.
    seed
        Of all that varies.
    records
        What is multiplied.

    Returns
    -------
    Path
        The study's folder.
    """
    study, people = folder / "results" / "large", originals(records)
    rng = np.random.default_rng(seed)
    which, other = rng.integers(len(people), size=(2, subjects))
    noise = _Noise(rng)
    chosen = [(people[i], people[j]) for i, j in zip(which, other, strict=True)]
    planned = [
        Planned(subject=Subject(sub=f"sub-{i:06d}", row=_row(*pair, noise)))
        for i, pair in enumerate(chosen)
    ]
    write_plan(study, planned, shard_size=shard_size)
    for number, shard in enumerate(read_shards(study)):
        first = number * shard_size
        part = chosen[first : first + shard_size]
        units = [f"sub-{first + i:06d}" for i in range(len(part))]
        for index in range(len(SUBJECT_STAGES)):
            new = [
                _record(original.records[index], unit, noise)
                for unit, (original, _) in zip(units, part, strict=True)
            ]
            _write_shard(Store(study), SUBJECT_STAGES[index], shard, new)
    _write_given(folder / "given")
    return study


def _write_shard(store: Store, stage: str, shard: str, records: list[Record]) -> None:
    journal = store.journal(stage, shard).path
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text("".join(map(record_line, records)), encoding="utf-8")
    store.write_manifest(stage, shard, records)
    name = store.manifest_name(stage, shard)
    write_inventory(store.root, name, [store.manifest_path(stage, shard), journal])
    log = store.root / "logs" / stage / f"{shard}.benchmark.tsv"
    log.parent.mkdir(parents=True, exist_ok=True)
    took = sum(record.seconds for record in records) + 4
    log.write_text(f"s\tmax_rss\tcpu_time\n{took:.2f}\t300.00\t{took:.2f}\n")


def _write_given(folder: Path) -> None:
    """Write what the rules give the jobs of the whole study."""
    config = Config.model_validate(CONFIG).model_dump()
    folder.mkdir(parents=True, exist_ok=True)
    for name in JOBS:
        given = STAGES[name].sections_of(config)
        given |= {"study": {"seed": config["study"]["seed"]}, "protocol": config["protocol"]}
        given["version"] = version_of(name)
        (folder / f"{name}.json").write_text(json.dumps(config if name == "report" else given))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep FOLDER's records to multiply")
    arguments = parser.parse_args()
    if arguments.save:
        save(arguments.folder, RECORDS)
        return
    write_study(
        arguments.folder,
        subjects=arguments.subjects,
        shard_size=arguments.shard_size,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
