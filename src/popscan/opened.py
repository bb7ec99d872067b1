"""A finished study from Python: its tables, its subjects, their images.

>>> import popscan
>>> study = popscan.open_study("results/demo")  # doctest: +SKIP
>>> study.table("biomarkers").groupby("qc_verdict")["lvef_pct"].describe()  # doctest: +SKIP
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.figures import Drawing, drawings, of_study, section_of
from popscan.protocol import load
from popscan.protocols import protocol_of
from popscan.records import LabelMap, PopscanError, Scan, Subject
from popscan.registry import read_registry
from popscan.report.blocks import Section
from popscan.stages.report.provenance import Provenance
from popscan.store import Store
from popscan.study.context import ShardContext
from popscan.study.parts import is_study, parts_of
from popscan.study.reading import scan_and_labels
from popscan.study.study import Study
from popscan.study.tables import read_table, tables_folder


def open_study(folder: str | Path) -> OpenedStudy:
    """Open a study that ran to its report.

    Parameters
    ----------
    folder
        ``results/<study>``.

    Raises
    ------
    PopscanError
        If there is no study, or its report was not written yet.
    """
    root = Path(folder)
    if not is_study(root):
        if parts := parts_of(root):
            raise PopscanError(
                f"{root}: a study of several protocols; open one of: "
                f"{', '.join(map(str, parts))}, or read {tables_folder(root)}"
            )
        raise PopscanError(f"{root}: no study there (no plan/registry.tsv)")
    try:
        facts = json.loads((root / "provenance.json").read_text(encoding="utf-8"))
        config = facts["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PopscanError(
            f"{root}: the study has no readable provenance.json; run it to its report first"
        ) from error
    return OpenedStudy(root=root, config=config, provenance=facts)


@dataclass(frozen=True, kw_only=True)
class OpenedStudy:
    """A study's results, read when they are asked for; nothing is written.

    Attributes
    ----------
    root
        ``results/<study>``.
    config
        The whole config, defaults filled in.
    provenance
        Versions, model, seed, machine: what ``provenance.json`` says.
    """

    root: Path
    config: dict[str, Any]
    provenance: Provenance

    @property
    def tables(self) -> list[str]:
        """Names of the tables that the study has."""
        return sorted(path.stem for path in tables_folder(self.root).glob("*.parquet"))

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, as docs and data dictionary describe it.

        Raises
        ------
        PopscanError
            If the study has none of this name; the message lists those that it has.
        """
        if name not in self.tables:
            raise PopscanError(f"{name}: no such table; there are {', '.join(self.tables)}")
        return read_table(self.root, name)

    def dictionary(self, name: str) -> pd.DataFrame:
        """Return what the columns of a table mean: ``unit``, ``meaning``, ``source`` by column."""
        self.table(name)
        text = (tables_folder(self.root) / f"{name}.json").read_text(encoding="utf-8")
        columns = json.loads(text)
        rows = pd.DataFrame.from_dict(
            columns, orient="index", columns=["unit", "meaning", "source"]
        )
        return rows.rename_axis("column")

    @cached_property
    def subjects(self) -> pd.DataFrame:
        """Decoded attributes of every subject by unit, and whether the subject is ``analysed``."""
        study = Study.of_tables(self.root, self.config)
        rows = study.attributes.copy()
        rows["analysed"] = rows.index.isin(study.analysed)
        return rows

    def images(self, unit: str) -> tuple[Scan, LabelMap]:
        """Return a subject's scan and the labels that segmentation gave it.

        Raises
        ------
        PopscanError
            If there is no such subject.
        SubjectError
            If the subject did not get as far, or files are lost or changed.
        """
        sub, _, ses = unit.partition("_ses-")
        subject = Subject(sub=sub, ses=f"ses-{ses}" if ses else "")
        return scan_and_labels(self.shard_of(unit), subject)

    def shard_of(self, unit: str) -> ShardContext:
        """Return where the files of a subject are.

        Raises
        ------
        PopscanError
            If there is no such subject.
        """
        shard = self._registry.get(unit)
        if shard is None:
            raise PopscanError(f"{unit}: no such subject in {self.root}")
        options = {"protocol": protocol_of(self.config).name}
        return ShardContext(store=Store(self.root), shard=shard, options=options)

    @cached_property
    def _registry(self) -> dict[str, str]:
        return dict(read_registry(self.root / "plan" / "registry.tsv"))

    def figures(self, section: str) -> list[Drawing]:
        """Return the figures of a section of the report: ``biomarkers``, ``fairness``, ``qc``, ...

        They are drawn from the tables; `popscan.figures` draws the same from any tables.

        Raises
        ------
        PopscanError
            If the report has no such section; the message lists those that it has.
        """
        return drawings(section_of(self._sections, section))

    @cached_property
    def _sections(self) -> list[Section]:
        return of_study(self.root, self.config, self.provenance)

    def curves(self, unit: str, *, points: int = 50) -> pd.DataFrame:
        """Return a subject's curves over the cycle, on a time base that all subjects share.

        Parameters
        ----------
        unit
            Of the subject.
        points
            Equal steps of the cycle: rows of what is returned.

        Raises
        ------
        PopscanError
            If there is no such subject, or the protocol has no such curves.
        """
        where = protocol_of(self.config).biomarkers.common_curves
        if not where:
            raise PopscanError("the study's protocol has no curves over a cycle")
        scan, labels = self.images(unit)
        rr_ms = scan.meta.get("rr_ms")
        return pd.DataFrame(
            load(where)(
                labels.array,
                spacing_mm=scan.spacing_mm,
                frames=labels.frames,
                frame_times_ms=scan.frame_times_ms,
                rr_ms=float(rr_ms) if isinstance(rr_ms, int | float) else None,
                points=points,
            )
        )
