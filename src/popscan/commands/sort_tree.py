"""``popscan check FOLDER``: what an unknown folder tree holds, series by series and as a table.

Three passes, of which only the first opens images: it writes what is known of each series to a
temporary file. The second learns features and clusters on a sample, the third writes the tables.
Memory does not grow with the tree, but for a few bytes a series.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.cells import WRITTEN
from popscan.columns import entries
from popscan.commands.sort_spool import Line, Spool, own_name
from popscan.disk import atomic_stream
from popscan.io.jsonfile import write_json
from popscan.io.tree import Broken, Walked, read_tree
from popscan.io.tsv import tsv_bytes
from popscan.protocol import load
from popscan.protocols import every
from popscan.records import PopscanError
from popscan.sorting.clusters import fit
from popscan.sorting.facts import Facts, Named
from popscan.sorting.naming import COMMON, UNKNOWN, Finder, Votes, final, named_session
from popscan.sorting.summary import BROKEN, CLUSTERS, SERIES, Row, merged

#: Series that wait for the others of their visit.
_MOST_WAITING = 300
#: Rows that are written at a time.
_CHUNK = 4096
#: Clusters without a name that are printed.
_MOST_UNKNOWN = 12
#: Columns that are printed.
_SHOWN = (
    "title", "n_series", "n_subjects", "clusters", "sure", "matrix", "spacing_mm", "n_slices",
    "slice_mm", "n_frames", "n_incomplete", "n_poor", "example",
)  # fmt: skip


@dataclass(kw_only=True)
class Sorted:
    """What a tree holds.

    Attributes
    ----------
    rows
        A row for each cluster and name, the largest first.
    titles
        Name -> title.
    broken
        What could not be read, with reasons.
    walked
        Counts of folders and files.
    n_series
        Series in all.
    """

    rows: list[Row] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    walked: Walked = field(default_factory=Walked)
    n_series: int = 0


def sort_tree(root: Path, *, out: Path | None = None, paths: bool = True, seed: int = 0) -> Sorted:
    """Cluster and name the series below a folder.

    Parameters
    ----------
    root
        The folder.
    out
        Folder of ``clusters.tsv``, ``series.tsv`` and ``broken.tsv``, each with its data
        dictionary; None to write nothing.
    paths
        Whether paths are written. Without them only ``clusters.tsv`` is, without its examples:
        names of folders may identify people.
    seed
        Of the sample on which features are learnt.

    Raises
    ------
    PopscanError
        If `root` is no folder, or `out` lies in it.
    """
    if not root.is_dir():
        raise PopscanError(f"{root}: no such folder")
    if out is not None and out.resolve().is_relative_to(root.resolve()):
        raise PopscanError(f"--out {out}: lies in the folder that is read; choose another one")
    found = Sorted(titles=dict(COMMON))
    finders: list[Finder] = []
    for protocol in every():
        if protocol.sorting is not None:
            finders.append(load(protocol.sorting.find))
            found.titles |= protocol.sorting.names
    with tempfile.TemporaryFile("w+b") as pictures, tempfile.TemporaryFile("w+") as lines:
        spool = Spool(pictures, lines)
        for facts in _named(root, found, finders):
            spool.add(facts)
        found.n_series = spool.n
        if spool.n:
            _sort(spool, found, out=out if paths else None, seed=seed)
    if out is not None:
        _write(out, found, paths=paths)
    return found


def _named(root: Path, found: Sorted, finders: Sequence[Finder]) -> Iterator[Facts]:
    """Give all series with their names: visit by visit, once a visit seems to be complete."""
    waiting: OrderedDict[str, list[Facts]] = OrderedDict()
    n_waiting = 0
    for facts in read_tree(root, found.walked):
        if isinstance(facts, Broken):
            found.broken.append(facts)
            continue
        waiting.setdefault(facts.session, []).append(facts)
        waiting.move_to_end(facts.session)
        n_waiting += 1
        while n_waiting > _MOST_WAITING:
            _, series = waiting.popitem(last=False)
            n_waiting -= len(series)
            yield from named_session(series, finders)
    for series in waiting.values():
        yield from named_session(series, finders)


def _sort(spool: Spool, found: Sorted, *, out: Path | None, seed: int) -> None:
    thumbs, where = spool.sample(seed=seed)
    model = fit(thumbs, where, seed=seed)
    numbers = np.concatenate([model.of(pictures, w) for pictures, w in spool.chunks()])
    votes: dict[int, Votes] = {}
    for number, line in zip(numbers.tolist(), spool.rows(), strict=True):
        own = own_name(line)
        if number >= 0:
            votes.setdefault(number, Votes()).add(UNKNOWN if own is None else own.name)
    nobody = Votes()
    rows: dict[tuple[int, str], Row] = {}

    def decided() -> Iterator[tuple[int, Named, Line]]:
        for number, line in zip(numbers.tolist(), spool.rows(), strict=True):
            yield number, final(own_name(line), votes.get(number, nobody)), line

    for number, named, line in decided():
        row = rows.setdefault((number, named.name), Row(cluster=number, name=named.name))
        _count(row, named, line)
    usual = {key: row.usual() for key, row in rows.items()}
    for number, named, line in decided():
        rows[number, named.name].n_poor += bool(_poor(line, usual[number, named.name]))
    found.rows = sorted(rows.values(), key=lambda r: (-r.n, r.cluster, r.name))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        judged = (
            (number, named, line, _poor(line, usual[number, named.name]))
            for number, named, line in decided()
        )
        _write_series(out / "series.tsv", judged)


def _count(row: Row, named: Named, line: Line) -> None:
    row.example = row.example or line["path"]
    row.n += 1
    row.count_subject(line["subject"])
    row.sure += named.sure
    row.by[named.by] += 1
    row.formats[line["format"]] += 1
    row.matrices[line["matrix"]] += 1
    row.slices[line["n_slices"]] += 1
    row.frames[line["n_frames"]] += 1
    row.spacing_mm.append(line["spacing_mm"])
    row.slice_mm.append(line["slice_mm"])
    row.sharpness.append(line["sharpness"])
    row.noise.append(line["noise"])
    row.n_incomplete += bool(line["incomplete"])


def _poor(line: Line, usual: tuple[float, float]) -> str:
    blur, noise = line["sharpness"] < usual[0], line["noise"] > usual[1]
    return " ".join(word for word, holds in (("blur", blur), ("noise", noise)) if holds)


def _write_series(path: Path, decided: Iterator[tuple[int, Named, Line, str]]) -> None:
    with atomic_stream(path) as stream:
        first = True
        while rows := list(itertools.islice(decided, _CHUNK)):
            cells = [
                {**line, "cluster": number, "name": n.name, "sure": n.sure, "by": n.by, "poor": p}
                for number, n, line, p in rows
            ]
            table = pd.DataFrame(cells, columns=list(SERIES))
            text = tsv_bytes(table)
            stream.write(text if first else text.split(b"\n", 1)[1])
            first = False


def _write(out: Path, found: Sorted, *, paths: bool) -> None:
    """Write the tables beside that of series, and their dictionaries."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [row.as_dict(found.titles.get(row.name, row.name)) for row in found.rows]
    columns = {k: v for k, v in CLUSTERS.items() if paths or k != "example"}
    clusters = pd.DataFrame(rows, columns=list(columns)).astype({"n_subjects": "Int64"})
    tables = {"clusters": (clusters, columns)}
    if paths:
        broken = [vars(one) for one in found.broken]
        renamed = pd.DataFrame(broken, columns=["place", "reason", "n_files"])
        tables["broken"] = (renamed.rename(columns={"place": "path"}), dict(BROKEN))
    for name, (table, meaning) in tables.items():
        with atomic_stream(out / f"{name}.tsv") as stream:
            stream.write(tsv_bytes(table))
        write_json(out / f"{name}.json", entries(meaning, meaning))
    if paths and found.n_series:
        write_json(out / "series.json", entries(SERIES, SERIES))


def as_text(found: Sorted) -> str:
    """Return what a tree holds, for a terminal: a line per name, and one per unknown cluster."""
    lines = []
    if found.rows:
        names: dict[str, list[Row]] = {}
        for row in found.rows:
            names.setdefault(row.name, []).append(row)
        unknown = names.pop(UNKNOWN, [])
        groups = [(merged(rows), len(rows)) for rows in names.values()]
        groups.sort(key=lambda group: (-group[0].n, group[0].name))
        groups += [(row, 1) for row in unknown[:_MOST_UNKNOWN]]
        shown = []
        for row, count in groups:
            cells = row.as_dict(found.titles.get(row.name, row.name)) | {"clusters": count}
            given = (cells[column] for column in _SHOWN)
            shown.append([WRITTEN if cell is None else str(cell) for cell in given])
        heads = [name.removeprefix("n_") for name in _SHOWN]
        widths = [max(map(len, column)) for column in zip(heads, *shown, strict=True)]
        for texts in [heads, *shown]:
            padded = (cell.ljust(width) for cell, width in zip(texts, widths, strict=True))
            lines.append("  ".join(padded).rstrip())
        if (left := len(unknown) - _MOST_UNKNOWN) > 0:
            lines.append(f"{_n(left, 'smaller unknown cluster')} more; --out writes all")
    walked = found.walked
    lines.append(
        f"{_n(found.n_series, 'series', 'series')} in {_n(walked.n_folders, 'folder')} and "
        f"{_n(walked.n_files, 'file')}"
    )
    if found.broken:
        lines.append(f"could not be read: {_counted(found.broken)}; first {found.broken[0].place}")
    if walked.other:
        listed = ", ".join(f"{kind} ({count})" for kind, count in walked.other.most_common(8))
        lines.append(f"files that are no images: {listed}")
    return "\n".join(lines)


def _counted(broken: Sequence[Broken]) -> str:
    """Return reasons with their files, and with the folders that could not be listed."""
    files: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for one in broken:
        files[one.reason] += one.n_files
        folders[one.reason] += one.n_files == 0
    listed = []
    for reason in sorted(files):
        counts = [str(files[reason])] if files[reason] else []
        counts += [_n(folders[reason], "folder")] if folders[reason] else []
        listed.append(f"{reason} ({', '.join(counts)})")
    return ", ".join(listed)


def _n(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
