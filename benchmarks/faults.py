"""Shoot at a small study and see whether anything is lost.

Each fault is drawn with a seed, does its damage to a study (new, half-way, finished, or finished
with a changed config), and then the study is run again as a user would: the same once more. It has
survived if that run ends well, the statuses of every stage add up, tables and derivatives equal
those of an undisturbed study byte for byte, and no temporary file is left.

    python benchmarks/faults.py                a dozen faults
    python benchmarks/faults.py --n 200 --log faults.jsonl      the campaign; half an idle hour
    python benchmarks/faults.py --only full_disk --seed 7
    python benchmarks/faults.py --only damage --n 60      files of a finished study lost or spoilt

With --log every fault is noted when it is done, and the same command again goes on where it was
stopped. The seed decides what is drawn.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import faults_study as study
from faults_damage import DAMAGE_FAULTS, WHOLE_FAULTS
from faults_kinds import LIMIT_S, RUNNER_FAULTS, SNAKEMAKE_FAULTS, Case

#: Faults of a slot in which a real Snakemake runs, and of one in which the runner does.
SLOTS = {
    "snakemake": {**SNAKEMAKE_FAULTS, **DAMAGE_FAULTS},
    "runner": RUNNER_FAULTS | {f: s for f, s in DAMAGE_FAULTS.items() if f not in WHOLE_FAULTS},
}


def draw(
    n: int, rng: random.Random, only: str, every: int
) -> Iterator[tuple[Callable[[Case], None], str, bool]]:
    """Draw faults, states, and whether Snakemake runs: every fault before any comes again."""
    pools: dict[str, list[Callable[[Case], None]]] = {"runner": [], "snakemake": []}
    for index in range(n):
        slot = "snakemake" if every and index % every == every - 1 else "runner"
        table = SLOTS[slot]
        if only == "damage":
            table = {f: s for f, s in table.items() if f in DAMAGE_FAULTS}
        elif only:
            every_fault = {**SLOTS["runner"], **SLOTS["snakemake"]}
            table = {f: s for f, s in every_fault.items() if f.__name__ == only}
        if not pools[slot]:
            pools[slot] = rng.sample(list(table), len(table))
        fault = pools[slot].pop()
        by_snakemake = slot == "snakemake" or fault not in SLOTS["runner"]
        if fault in RUNNER_FAULTS:
            by_snakemake = False
        yield fault, rng.choice(table[fault]), by_snakemake


def shoot(
    fault: Callable[[Case], None], state: str, seed: int, base: study.Base, *, by_snakemake: bool
) -> str:
    """Do one fault and run again; what went wrong, empty if it was survived."""
    with tempfile.TemporaryDirectory(prefix="popscan-fault-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        whole = fault in WHOLE_FAULTS
        base.prepare(folder, state, by_snakemake=by_snakemake, whole=whole)
        case = Case(folder=folder, rng=random.Random(seed), typical_s=base.typical_s)
        try:
            fault(case)
            damage = fault in DAMAGE_FAULTS
            if by_snakemake:
                study.rerun_snakemake(folder, LIMIT_S, whole=whole)
            elif status := study.wait(study.start(folder, only_forced=damage)):
                return f"the run afterwards ended with {status}: {study.last_words(folder)}"
            study.check_accounts(folder)
            base.compare(folder, "changed" if state == "changed" else "finished", whole=whole)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}"
        except Exception:
            return traceback.format_exc()
    return ""


def read_log(path: Path | None, seed: int) -> dict[int, dict[str, object]]:
    """Read what is known of this seed's faults by number; a torn last line counts as not done."""
    done: dict[int, dict[str, object]] = {}
    if path and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if told["campaign"] == seed:
                done[told["number"]] = told
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=12, help="faults to draw; 200 is the campaign")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="name of one fault, or damage")
    parser.add_argument(
        "--snakemake-every", type=int, default=10, help="one in so many hits Snakemake; 0 for none"
    )
    parser.add_argument("--log", type=Path, help="JSON lines of what was done; go on from there")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    done = read_log(arguments.log, arguments.seed)
    results = []
    with tempfile.TemporaryDirectory(prefix="popscan-faults-") as folder:
        base: study.Base | None = None
        drawn = draw(arguments.n, rng, arguments.only, arguments.snakemake_every)
        for number, (fault, state, by_snakemake) in enumerate(drawn, start=1):
            seed, began = rng.randrange(2**32), time.monotonic()
            told = done.get(number)
            if told is None or (told["fault"], told["state"]) != (fault.__name__, state):
                base = base or study.Base.build(Path(folder))
                told = {
                    "campaign": arguments.seed, "number": number, "fault": fault.__name__,
                    "state": state, "seed": seed, "snakemake": by_snakemake,
                    "wrong": shoot(fault, state, seed, base, by_snakemake=by_snakemake),
                }  # fmt: skip
                took = f"{time.monotonic() - began:.0f} s"
                print(f"{number}/{arguments.n} {fault.__name__} ({state}): {took}", flush=True)
                if arguments.log:
                    with arguments.log.open("a", encoding="utf-8") as log:
                        log.write(json.dumps(told) + "\n")
            results.append(told)
            if told["wrong"]:
                print(f"NOT SURVIVED {told}", flush=True)
    tried = Counter(told["fault"] for told in results)
    lost = Counter(told["fault"] for told in results if told["wrong"])
    for name in sorted(tried):
        print(f"{name:<30}{tried[name] - lost[name]:>4} / {tried[name]}")
    print(f"{'faults survived / tried':<30}{tried.total() - lost.total():>4} / {tried.total()}")
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
