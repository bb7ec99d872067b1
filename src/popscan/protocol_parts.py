"""The parts that a protocol declares, and how what it names is loaded; see `popscan.protocol`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from popscan.columns import Column
from popscan.records import PopscanError

#: ``"module:name"``: loaded when it is used, so that naming it costs nothing.
Where = str

#: How a place is written.
PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series that the protocol wants of every visit.

    Attributes
    ----------
    view
        Its name in files and tables.
    title
        Its name for people.
    suffixes
        BIDS suffixes that say this view by themselves: ``("T1w",)``. Case does not matter.
    name_words
        Further parts of a file name that say it: ``("sa", "shortaxis")``.
    modality
        ``MR``, ``CT``, ... as DICOM writes it.
    dimensions
        3, or 4 where the last axis is a time axis.
    time_axis
        What the last axis is (``phase of the cycle``); empty without one.
    required
        Whether a visit without it has failed; others are read where they are there.
    min_slices, min_frames
        Fewest that can be worked with.
    ukb_fields
        Bulk fields of UK Biobank that hold it -> name of the NIfTI in the zip; "" for DICOM, which
        the protocol's source ``dicom`` reads (its ``load_files``).
    """

    view: str
    title: str
    suffixes: tuple[str, ...] = ()
    name_words: tuple[str, ...] = ()
    modality: str = "MR"
    dimensions: Literal[3, 4] = 3
    time_axis: str = ""
    required: bool = True
    min_slices: int = 1
    min_frames: int = 1
    ukb_fields: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """How images get labels.

    Attributes
    ----------
    methods
        Name in the config -> function ``(scan, *, bundle, **options) -> Segmentation`` (see
        `popscan.segment`).
    together
        Name of a method -> class ``(*, bundle, **options)`` that labels several scans at once, for
        the methods that can: ``prepare(scan)`` makes one ready, ``label(prepared ones)`` returns
        what ends each.
    method, bundle
        Those that the config takes by default; a bundle is a name in resources/models or a folder.
    bundles
        Name of a method -> the bundle that goes with it by default, where that is not `bundle`.
    network_labels
        What a bundle must label, label 1 first, where that is not the protocol's label set
        (structures whose sides are distinguished afterwards).
    columns
        Mapping of further columns that the methods write to the table `segmentation`; empty for
        none.
    training
        `popscan.train.kind.ModelKind`: how bundles are trained, measured and calibrated; empty for
        models that are not trained by popscan.
    in_plane
        Whether the bundle's networks see the slices of axis 2 one by one, so that visibility can
        look into them.
    proof_needed
        Whether bundles count as measured on simulated images alone unless their model.yaml says
        ``validation: {simulated_only: false}``.
    """

    methods: Mapping[str, Where]
    method: str
    bundle: str
    network_labels: tuple[str, ...] = ()
    columns: Where = ""
    training: Where = ""
    in_plane: bool = False
    proof_needed: bool = False
    together: Mapping[str, Where] = field(default_factory=dict)
    bundles: Mapping[str, str] = field(default_factory=dict)

    def bundle_of(self, method: str = "") -> str:
        """Return the bundle that goes with a method by default; empty for the default method."""
        return self.bundles.get(method or self.method, self.bundle)

    def added(self) -> Mapping[str, Column]:
        """Return what the further columns mean."""
        return _columns(self.columns)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality control.

    Attributes
    ----------
    checks
        Mapping check -> `popscan.qc.model.Spec`, whose measures take the context.
    context
        ``(scan, labels, *, frames=None, from_segmentation=None) -> object``, shared by the
        measures: `popscan.records.Scan`, label array or None, frames that ought to be labelled,
        values of the segmentation's record.
    reference
        ``(scan, reference: LabelMap, labels) -> list of Check`` of a reference; empty for none.
    """

    checks: Where
    context: Where
    reference: Where = ""


@dataclass(frozen=True, kw_only=True)
class Biomarkers:
    """From labels to numbers.

    Attributes
    ----------
    methods
        Name in the config -> ``(labels, *, spacing_mm, subject, ...) -> dict column -> number``:
        see docs/protocols.md for what is handed over.
    method
        The default.
    dictionary
        Mapping column -> `popscan.columns.Column`.
    details
        Mapping of those columns of `dictionary` that are too many for the report's main table and
        are no features of a person (by segment, by phase); empty for none.
    intervals
        Mapping of the columns of intervals, likewise; empty for none.
    interval_values
        ``(values, *, samples, level, method) -> dict`` of these columns: biomarkers, and what
        segmentation left of its samples (``volumes_ml``: structure -> (sample, t); ``sampled``:
        structure -> what was measured of each sample; ``calibration`` of the bundle; empty where
        there are none).
    common_curves
        ``(labels, *, spacing_mm, frames, frame_times_ms, rr_ms, points) -> dict name -> curve`` on
        a time base that all subjects share; empty for none.
    curves
        ``(labels, *, spacing_mm) -> dict structure -> volume in mL per frame``, drawn on the pages
        of flagged subjects; empty for none.
    """

    methods: Mapping[str, Where]
    method: str
    dictionary: Where
    details: Where = ""
    intervals: Where = ""
    interval_values: Where = ""
    curves: Where = ""
    common_curves: Where = ""

    def columns(self) -> dict[str, Column]:
        """Return what the biomarkers, and the columns of their intervals, mean."""
        return {**_columns(self.dictionary), **_columns(self.intervals)}

    def detail_columns(self) -> Mapping[str, Column]:
        """Return what the columns of `details` mean."""
        return _columns(self.details)

    def limits(self) -> Mapping[str, Column]:
        """Return what the columns of intervals mean; none without intervals."""
        return _columns(self.intervals)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A digital population.

    Attributes
    ----------
    population
        ``(n, *, seed, bias, faults, allocation) -> DataFrame``, a row per subject.
    subject
        ``(row, *, ...) -> object`` with ``scan``, ``labels``, ``kspace`` (or None), ``truth``; it
        gets by name what it takes of seed, kspace, matrix, spacing_mm, frames, coils, acceleration.
    truth
        Mapping of the columns of the truth that are no biomarkers; empty for none.
    """

    population: Where
    subject: Where
    truth: Where = ""

    def columns(self) -> Mapping[str, Column]:
        """Return what the columns of the truth that are no biomarkers mean."""
        return _columns(self.truth)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What is measured of the motion over the cycle (stage ``motion``).

    Attributes
    ----------
    measure
        ``(scan, labels, *, source, method, options, n_harmonics, min_frames, max_contour_mm,
        max_closing_mm, max_folding_share) -> popscan.motion.result.Moved``.
    dictionary
        Mapping of the columns of its values.
    rows
        Mapping of the columns of its rows, one per segment.
    section
        ``(values: DataFrame, rows: DataFrame, groups: Series) -> popscan.report.context.Extra`` of
        the report: tables ``motion`` and ``motion_segments``, and the group of every unit.
    picture
        ``(rows: DataFrame) -> Markup`` of one subject, for its page; empty for none.
    """

    measure: Where
    dictionary: Where
    rows: Where
    section: Where
    picture: Where = ""

    def columns(self) -> Mapping[str, Column]:
        """Return what the columns of the values mean."""
        return _columns(self.dictionary)

    def row_columns(self) -> Mapping[str, Column]:
        """Return what the columns of the rows mean."""
        return _columns(self.rows)


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """Names of series that the protocol knows, for ``popscan check FOLDER``.

    Attributes
    ----------
    names
        Short name -> title for people.
    find
        ``(series: Sequence[popscan.sorting.facts.Facts]) -> list of lists of
        popscan.sorting.facts.Named``: names of each series of one visit, none where nothing
        speaks for one.
    """

    names: Mapping[str, str]
    find: Where


def load(where: Where) -> Any:
    """Load what ``"module:name"`` names.

    Raises
    ------
    PopscanError
        If there is no such module or name in it.
    """
    module, _, name = where.partition(":")
    try:
        loaded: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PopscanError(f"{where}: cannot be loaded ({error})") from error
    return loaded


def _columns(where: Where) -> Mapping[str, Column]:
    return {} if not where else load(where)
