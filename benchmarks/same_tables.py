"""Whether two builds make the same of the same study: tables, records and shared files, compared.

Runs one small config with real Snakemake in two checkouts, each in a folder of its own, and
compares what they leave, byte for byte: files below tables, share, derivatives, atlas, rca and
visibility, and the records of every stage. Times and memory are left out. A table that differs is
listed by column.

    git worktree add ../before COMMIT
    python benchmarks/same_tables.py --beside ../before --study kspace --folder WORK
    python benchmarks/same_tables.py --beside ../before --study acdc --data ../shared/data/acdc ...
    python benchmarks/same_tables.py --beside ../before --config my.yaml --folder WORK

`--part here` or `--part beside` only runs that build (what has run is kept), `--part compare` only
compares. Both builds use the packages of this Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
#: Side analyses switched on, and limits of group sizes that so few subjects pass.
_ALL_OF_IT = {
    "atlas": {"enabled": True},
    "associate": {"terms": ["age_years"], "min_n": 5},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 200},
    "rca": {"enabled": True, "n_references": 2, "n_registered": 1},
    "visibility": {"enabled": True, "n_maps": 2, "n_permutations": 50},
}
#: So few frames and slices would fail quality control, and nobody would be left to analyse.
_LENIENT = {
    name: {"fail": None}
    for name in ("frame_count", "slice_count", "apical_coverage_pct", "lv_open_pct")
}


def _hearts(*, kspace: bool) -> dict[str, object]:
    """Config of five simulated hearts."""
    return {
        "study": {"name": "same"},
        "source": {"kind": "simulated"},
        "simulate": {
            "n_subjects": 5, "kspace": kspace, "allocation": "quota", "matrix": 96,
            "spacing_mm": 2.6, "n_frames": 4,
        },
        "plan": {"shard_size": 5},
        "qc": {"thresholds": _LENIENT},
        **_ALL_OF_IT,
    }  # fmt: skip


STUDIES: dict[str, dict[str, object]] = {
    "kspace": _hearts(kspace=True),
    "images": _hearts(kspace=False),
    "acdc": {
        "study": {"name": "same"},
        "source": {"kind": "acdc", "root": "raw"},
        "plan": {"shard_size": 6},
        **_ALL_OF_IT,
        "associate": {"terms": ["bsa_m2"], "min_n": 5},
        "fairness": {
            "attributes": ["bmi_class"], "intersections": [], "min_group": 2, "n_boot": 200,
        },
        # ACDC records no sex, by which references are balanced by default.
        "rca": {**_ALL_OF_IT["rca"], "balance_by": ["bmi_class"]},
        "visibility": {"enabled": False},
    },
}  # fmt: skip
FOLDERS = ("tables", "share", "derivatives", "atlas", "rca", "visibility")
#: Columns of time and memory, which differ from run to run; and the fingerprint, which holds the
#: versions of stages, so that it may differ where results do not.
EXCEPTED = {"seconds", "peak_mb", "cores", "gpus", "finished", "fingerprint"}


def run(checkout: Path, folder: Path, config: dict[str, object], data: Path | None, n: int) -> None:
    """Run a study in a checkout's workflow; results of an earlier call are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if data is not None and not (folder / "raw").exists():
        (folder / "raw").mkdir()
        for patient in sorted(path for path in data.iterdir() if path.is_dir())[:: 70 // n][:n]:
            (folder / "raw" / patient.name).symlink_to(patient.resolve())
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "2", "--rerun-incomplete", "--quiet"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout / "src"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([*command, "all"], cwd=folder, env=environment, check=True)


def files_of(study: Path) -> Iterator[str]:
    """Names of the files to compare, in order."""
    for name in FOLDERS:
        yield from sorted(
            str(p.relative_to(study)) for p in (study / name).rglob("*") if p.is_file()
        )


def table_of(path: Path) -> pd.DataFrame:
    """Read a table as text, so that no value is rounded."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path).astype(str)
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def table_differences(here: pd.DataFrame, beside: pd.DataFrame) -> list[str]:
    """List how two tables differ, column by column."""
    lines = []
    for names, where in (
        ([c for c in here if c not in beside], "only here"),
        ([c for c in beside if c not in here], "only beside"),
    ):
        if names:
            lines.append(f"columns {where}: {', '.join(map(str, names))}")
    if len(here) != len(beside):
        return [*lines, f"{len(here)} rows here, {len(beside)} beside"]
    for column in (c for c in here if c in beside and c not in EXCEPTED):
        empty = (here[column].isna() & beside[column].isna()).to_numpy()
        unequal = (here[column].to_numpy() != beside[column].to_numpy()) & ~empty
        if unequal.any():
            i = int(unequal.argmax())
            pair = f"{here[column].iloc[i]!r:.120} here, {beside[column].iloc[i]!r:.120} beside"
            lines.append(f"{column}: {int(unequal.sum())} of {len(here)} rows, first {pair}")
    return lines


def without_measured(value: object) -> object:
    """Leave times and memory out of nested JSON."""
    if isinstance(value, dict):
        return {k: without_measured(v) for k, v in value.items() if k not in EXCEPTED}
    return [without_measured(v) for v in value] if isinstance(value, list) else value


def json_differences(here: object, beside: object, at: str = "") -> list[str]:
    """List the keys at which two JSON values differ."""
    if isinstance(here, dict) and isinstance(beside, dict):
        keys = [*here, *(key for key in beside if key not in here)]
        return [
            line
            for key in keys
            for line in json_differences(
                here.get(key, "(absent)"), beside.get(key, "(absent)"), f"{at}/{key}"
            )
        ]
    return [] if here == beside else [f"{at}: {here!r:.120} here, {beside!r:.120} beside"]


def file_differences(here: Path, beside: Path) -> list[str]:
    """List how two files differ; nothing where only times and memory do."""
    if here.read_bytes() == beside.read_bytes():
        return []
    if here.suffix in (".tsv", ".parquet"):
        return table_differences(table_of(here), table_of(beside))
    if here.suffix == ".json":
        values = (without_measured(json.loads(path.read_bytes())) for path in (here, beside))
        return json_differences(*values)
    return [f"{here.stat().st_size} bytes here, {beside.stat().st_size} beside"]


def compare(here: Path, beside: Path) -> int:
    """Print every difference between two studies; return how many files and stages differ."""
    names, others = list(files_of(here)), list(files_of(beside))
    print(f"{len(names)} files here, {len(others)} beside")
    n_different = 0
    for name in dict.fromkeys([*names, *others]):
        if name not in names or name not in others:
            differences = ["only here" if name in names else "only beside"]
        else:
            differences = file_differences(here / name, beside / name)
        n_different += bool(differences)
        for line in differences:
            print(f"{name}: {line}")
    manifests = {
        str(path.relative_to(study))
        for study in (here, beside)
        for path in (study / "manifests").rglob("*.parquet")
    }
    n_records = 0
    for name in sorted(manifests):
        pair = [study / name for study in (here, beside)]
        if not all(path.exists() for path in pair):
            differences = ["only here" if pair[0].exists() else "only beside"]
        else:
            tables = [pd.read_parquet(path) for path in pair]
            n_records += len(tables[0])
            differences = table_differences(*(table.astype(str) for table in tables))
        n_different += bool(differences)
        for line in differences:
            print(f"{name}: {line}")
    print(f"{n_records} records in {len(manifests)} manifests")
    print(f"{n_different} of {len({*names, *others}) + len(manifests)} differ")
    return n_different


def main() -> None:
    """Run and compare as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, required=True, help="checkout of another build")
    parser.add_argument("--here", type=Path, default=ROOT, help="checkout of this build")
    parser.add_argument("--study", choices=STUDIES, default="images")
    parser.add_argument("--config", type=Path, help="a config of your own in place of --study")
    parser.add_argument("--data", type=Path, help="folder of patients, for --study acdc")
    parser.add_argument("--patients", type=int, default=6, help="how many of them")
    parser.add_argument("--folder", type=Path, required=True, help="where both run")
    parser.add_argument("--part", choices=("all", "here", "beside", "compare"), default="all")
    arguments = parser.parse_args()
    config = STUDIES[arguments.study]
    if arguments.config:
        config = yaml.safe_load(arguments.config.read_text())
    folders = {name: arguments.folder / name for name in ("here", "beside")}
    for name, folder in folders.items():
        if arguments.part in ("all", name):
            checkout = getattr(arguments, name).resolve()
            run(checkout, folder, config, arguments.data, arguments.patients)
    if arguments.part in ("all", "compare"):
        study = Path("results", config["study"]["name"])  # type: ignore[index]
        raise SystemExit(bool(compare(*(folder / study for folder in folders.values()))))


if __name__ == "__main__":
    main()
