"""Rows of some subjects out of a study's tables, without the names of its other subjects."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.inventory import checksum_of, outputs_known, read_inventory
from popscan.io.tsv import tsv_parts
from popscan.names import subject_of
from popscan.study.tables import TSV_ROWS, tables_folder

if TYPE_CHECKING:
    import pyarrow as pa

#: Stands in a cell in place of a subject that is not exported.
ANOTHER = "[another subject]"
#: What may hold an identifier, and where it may end (`popscan.records.check_identifier`).
_TOKEN, _BORDER = re.compile(r"[A-Za-z0-9._+-]+"), re.compile(r"([._+-])")
#: Without ``sub-`` a shorter name, or one without a digit, may be any word or number.
_SHORTEST = 6


@dataclass(kw_only=True)
class Tables:
    """What was exported of a study's tables.

    Attributes
    ----------
    n_rows
        Table -> rows.
    redacted
        Table -> cells in which `ANOTHER` stands in place of another subject.
    unchecked
        Tables of which the study keeps no checksum.
    damaged
        Files that are lost, damaged or not as they were written.
    """

    n_rows: dict[str, int] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


class Others:
    """The subjects of a study that are not exported.

    Parameters
    ----------
    units
        All visits of the study.
    chosen
        Those that are exported. Other visits of the same subjects are not another subject's.
    """

    def __init__(self, units: Iterable[str], chosen: Collection[str]) -> None:
        own = {subject_of(unit) for unit in chosen}
        self._own = _forms(own)
        self._others = _forms({subject_of(unit) for unit in units} - own) - self._own

    def hidden(self, text: str) -> str:
        """Return a text with `ANOTHER` in place of their names.

        Names count with ``sub-``, and without it where they have a digit and six characters.
        """
        return _TOKEN.sub(lambda found: self._hidden_in(_BORDER.split(found[0])), text)

    def _hidden_in(self, pieces: Sequence[str]) -> str:
        """Return a word without names; `pieces` are what lies between its borders, and these."""
        kept, start = [], 0
        while start < len(pieces):
            end = len(pieces)
            while end > start + 1 and not self._knows("".join(pieces[start:end])):
                end -= 1
            word = "".join(pieces[start:end])
            kept.append(ANOTHER if word in self._others else word)
            start = end
        return "".join(kept)

    def _knows(self, word: str) -> bool:
        return word in self._own or word in self._others


def _forms(subjects: Collection[str]) -> set[str]:
    """Return the names of subjects, and those without ``sub-`` that are no usual word."""
    bare = {name.removeprefix("sub-") for name in subjects}
    return {*subjects, *(b for b in bare if len(b) >= _SHORTEST and re.search("[0-9]", b))}


def export_tables(study_root: Path, out: Path, units: Collection[str], others: Others) -> Tables:
    """Write the rows of some visits, of every table that has any.

    Tables without such rows, among them all statistics of the study, are left out.

    Parameters
    ----------
    study_root
        The study; without tables nothing is written.
    out
        Folder in which ``tables/`` is made.
    units
        Whose rows.
    others
        Whose names are not to be in them.
    """
    import pyarrow.parquet as pq

    done = Tables()
    known = _checksums(study_root)
    for path in sorted(tables_folder(study_root).glob("*.parquet")):
        try:
            table = _rows_of(path, units)
        except (OSError, ValueError):
            done.damaged.append(f"tables/{path.name}")
            continue
        if not table.num_rows:
            continue
        dictionary = path.with_suffix(".json")
        for file in (path, dictionary):
            name = f"tables/{file.name}"
            if not file.is_file() or known.get(name, "") not in ("", checksum_of(file)):
                done.damaged.append(name)
            elif name not in known:
                done.unchecked.append(name)
        if done.damaged:
            continue
        table, n_cells = _redacted(table, others)
        done.n_rows[path.stem] = table.num_rows
        if n_cells:
            done.redacted[path.stem] = n_cells
        folder = tables_folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / path.name, compression="snappy")
        shutil.copyfile(dictionary, folder / dictionary.name)
        if table.num_rows <= TSV_ROWS:
            with (folder / f"{path.stem}.tsv").open("wb") as stream:
                for part in tsv_parts(table):
                    stream.write(part)
    return done


def _checksums(study_root: Path) -> dict[str, str]:
    """Return the checksum of every table's file that the study keeps one of."""
    found = {}
    for output in outputs_known(study_root):
        if not output.startswith("manifests/"):
            for entry in read_inventory(study_root, output, subject_files=False) or []:
                if entry.name.startswith("tables/"):
                    found[entry.name] = entry.checksum
    return found


def _rows_of(path: Path, units: Collection[str]) -> pa.Table:
    """Return the rows of some visits; none of a table whose column ``unit`` holds no visits."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pa.array(sorted(units), pa.string())
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if "unit" not in schema.names:
            return schema.empty_table()
        parts = [
            batch.filter(pc.is_in(batch["unit"].cast(pa.string()), wanted))
            for batch in file.iter_batches()
        ]
        return pa.Table.from_batches(parts, schema=schema)


def _redacted(table: pa.Table, others: Others) -> tuple[pa.Table, int]:
    """Return a table without the names of other subjects, and in how many cells there were any."""
    import pyarrow as pa

    n_cells = 0
    for place, column in enumerate(table.schema):
        if column.name == "unit" or not (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ):
            continue
        before = table[column.name].to_pylist()
        after = [text if text is None else others.hidden(text) for text in before]
        n_changed = sum(a != b for a, b in zip(after, before, strict=True))
        if n_changed:
            table = table.set_column(place, column, pa.array(after, column.type))
            n_cells += n_changed
    return table, n_cells
