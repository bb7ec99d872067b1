"""What a stage says of itself: the one place from which all else that names stages follows.

Rules and their order, tasks, `rerun`, versions, tables and their columns, costs and report sections
are derived. Nothing heavy is imported: whatever is, stands as ``"module:name"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from popscan.columns import Column

#: ``"module:name"``: loaded when it is used, so that naming it costs nothing.
Where = str
#: Stands in `Stage.reads` for all per-subject stages.
EVERY_SUBJECT_STAGE = "*"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a stage.

    Attributes
    ----------
    columns
        Its data dictionary: mapping column -> `popscan.columns.Column`, or a function that makes it
        of a `popscan.protocol.Protocol`. ``unit`` need not stand in it where `of` is another than
        ``job``.
    of
        What `collect` makes it of: ``values``: one row per subject, of the record's values;
        ``rows``: its long-form rows; ``job``: nothing, the stage's own job writes it.
    kind
        Of the rows only those whose column ``kind`` says so; that column is dropped then. Empty for
        all.
    further
        What columns mean that no dictionary can name, since the study brings them; None where there
        are none.
    """

    columns: Where
    of: Literal["values", "rows", "job"] = "values"
    kind: str = ""
    further: Column | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a study.

    Attributes
    ----------
    name
        In rules, records, folders and tables.
    version
        Of the stage's own code: its folder here, and the package of its name. Raise it when results
        of existing studies change.
    uses
        Stages whose packages it calls, and toolkits (`popscan.stages.TOOLKITS`): a raise of theirs
        counts as one of its own.
    sections
        Config sections that it is given; another value there means that it runs again.
    keys
        Section -> the keys of it that the stage uses, where another value of the others changes
        nothing: it is given these alone. All of a section that is not named here.
    options
        `popscan.config.Section` with the keys of a stage that has no section in `popscan.config`;
        they are given in the config as ``stages: {NAME: {...}}``.
    per
        A record per ``subject``, or one result per ``shard`` or ``study``.
    reads
        Stages whose records, files or tables it reads; per-subject stages that read the raw data or
        the cohort table read ``plan``.
    side
        Whether it only looks at what others made: a subject that fails here is still analysed.
    optional
        Whether it runs only where the config says ``enabled``: in the section `switch`, or, of a
        stage with `options` of its own, among these (``stages: {NAME: {enabled: true}}``).
    switch
        Name of that section, or of the stage whose options decide; by default its own.
    task
        Of a per-subject stage: the function that makes its task from a `ShardContext`.
    threads
        Threads that its job is given.
    model
        Whether its job is to run again when the files of the segmentation model are newer.
    tables
        Its tables, by name.
    report
        Function (study_root, config) that makes its section of the report, several, or None.
    """

    name: str
    version: str
    sections: tuple[str, ...]
    uses: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Where = ""
    per: Literal["subject", "shard", "study"] = "subject"
    reads: tuple[str, ...] = ()
    side: bool = False
    optional: bool = False
    switch: str = ""
    task: Where = ""
    threads: int = 1
    model: bool = False
    tables: Mapping[str, Table] = field(default_factory=dict)
    report: Where = ""

    def sections_of(self, config: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
        """Return what the stage is given of a config: its `sections`, of some only its `keys`."""
        return {
            name: {key: config[name][key] for key in self.keys.get(name, tuple(config[name]))}
            for name in self.sections
        }
