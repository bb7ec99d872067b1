"""The command that removes what a study does not store, and makes it again for somebody."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from popscan.cli.adding import Commands
from popscan.inventory import inventoried
from popscan.jsontext import canonical_json
from popscan.names import name_list, resolve_units
from popscan.plan import read_shard, read_shards
from popscan.records import PopscanError, SubjectError
from popscan.registry import read_registry
from popscan.store import Store


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    storage = commands.add_parser(
        "storage",
        help="what of each subject is stored; make again what was removed of some",
        description="Says how many files each stage stores and how many were removed, as the "
        "config section storage says.",
    )
    storage.add_argument("study", type=Path, help="results/<study>")
    storage.add_argument(
        "--restore",
        nargs="+",
        metavar="SUBJECT",
        help="subjects or visits whose files are made again (by the stages that made them)",
    )
    # As the rule calls it, once all else is done.
    storage.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    # As a job calls it that needs files of another number of threads: popscan.stages.remaking.
    storage.add_argument("--serve", metavar="SHARD", help=argparse.SUPPRESS)
    storage.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    storage.set_defaults(call=_storage)


def _storage(arguments: argparse.Namespace) -> None:
    from popscan.disk import write_atomic
    from popscan.study.storage import clear_study
    from popscan.study.storage_choice import Choice
    from popscan.study.storage_counts import file_counts, format_counts

    store = Store(arguments.study)
    if arguments.serve:
        _serve(store, arguments.serve)
        return
    shards = read_shards(store.root)
    if arguments.restore:
        print(f"{_restore(store, arguments.restore)} files are stored again")
        return
    if arguments.output is None:
        print(format_counts(Choice.read(store.root).keep, file_counts(store, shards)))
        return
    counts = clear_study(store, shards)
    with inventoried(store.root, arguments.output):
        summary = {"keep": Choice.read(store.root).keep, "files": counts}
        write_atomic(arguments.output, canonical_json(summary).encode())


def _serve(store: Store, shard: str) -> None:
    from popscan.stages.remaking import serve
    from popscan.stages.restoring import Restorer

    # What a library prints is no answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        serve(Restorer(store, shard).remake, sys.stdin, answers)


def _restore(store: Store, names: Sequence[str]) -> int:
    from popscan.stages.restoring import restore_all

    registry = read_registry(store.root / "plan" / "registry.tsv")
    n_files = 0
    for unit in resolve_units(name_list(list(names)), list(registry), where="storage --restore"):
        planned = {one.subject.unit: one for one in read_shard(store.root, registry[unit])}
        if unit not in planned:
            raise PopscanError(f"{unit}: not in the study any more")
        try:
            n_files += restore_all(store, registry[unit], planned[unit].subject)
        except SubjectError as error:
            raise PopscanError(f"{unit}: {error}") from error
    return n_files
