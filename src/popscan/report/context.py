"""What the report is made of: tables, pictures and texts of one study, already in memory.

The report reads no results folder and computes no inference; whoever calls it loads the study's
tables and hands them over in a `StudyContext`. Every field may be empty, every column may be
missing: the section concerned then says in one sentence what is not there and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from popscan.labelset import Structure
from popscan.protocol import Protocol, Words
from popscan.protocols import DEFAULT, get_protocol
from popscan.report.figures.gallery import Gallery
from popscan.stages import stages_of
from popscan.stats.harmonise import Harmonised

_FIRST = get_protocol(DEFAULT)


@dataclass(frozen=True, kw_only=True)
class FlaggedSubject:
    """One subject that a person should look at.

    Attributes
    ----------
    unit
        Identifier of the visit.
    verdict
        ``pass``, ``review`` or ``fail``.
    reasons
        Why, in words or reason codes.
    image : ndarray, shape (x, y, z, k), or None
        The frames to show, usually the named phases; None where there is no image (failed ingest).
    labels : ndarray of uint8, shape (x, y, z, k), or None
        Codes of the protocol's label set on the same grid.
    frame_names
        Names of the k frames.
    outlines, legend
        Codes within each outline that is drawn on images and its colour, and these in words.
    structures
        Of the protocol, for names and colours of curves.
    spacing_mm
        Voxel spacing along x, y, z; only the ratio x : y matters here.
    volume_curve_ml
        Volume in every frame: structure name -> array (t,), or one array.
    frame_times_ms : ndarray, shape (t,), or None
        Times of the curve's points; frame numbers are shown where it is None.
    loop, loop_labels : ndarray, shape (x, y, z, t), or None
        All frames, for the loop; labels may be None.
    figures
        Further pictures (inline SVG) and their captions.
    """

    unit: str
    verdict: str = "review"
    reasons: Sequence[str] = ()
    image: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    frame_names: Sequence[str] = _FIRST.phase_names
    outlines: Sequence[tuple[tuple[int, ...], str]] = _FIRST.labels.outlines
    legend: str = _FIRST.words.legend
    structures: Sequence[Structure] = _FIRST.labels.structures
    spacing_mm: Sequence[float] | None = None
    volume_curve_ml: Mapping[str, NDArray[Any]] | NDArray[Any] | None = None
    frame_times_ms: NDArray[Any] | None = None
    loop: NDArray[Any] | None = None
    loop_labels: NDArray[Any] | None = None
    figures: Sequence[tuple[Markup, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A section that some other part of popscan adds to the report.

    Attributes
    ----------
    ident
        Of the section within the page: lower case, unique, no spaces.
    title, lead
        Heading, and one sentence below it.
    sentences
        What was found, in words.
    shared_sentences
        The same for the shared report, without small counts (`Options.count` writes them); those
        of `sentences` are not shown there.
    figures
        Inline SVG (made with `popscan.report.figures`) and its caption, each.
    tables
        Caption and table, each; column names carry their units. Numbers are shown with three
        digits, ``p`` and ``p_adj`` as p values.
    shared_tables
        The tables of the shared report, where they are not those of `tables`.
    headline, shared_headline
        Warnings that stand at the report's beginning, too; the latter in the shared report.
    notes
        Cautions, each a paragraph.
    shared
        Whether it may appear in the shared report. Rows whose counts (columns ``n``, ``n_*``) are
        below the smallest cell are left out of its tables there; figures, lead and notes are shown
        as they are, so that they must not reveal single subjects.
    """

    ident: str
    title: str
    lead: str = ""
    sentences: Sequence[str] = ()
    shared_sentences: Sequence[str] = ()
    figures: Sequence[tuple[Markup, str]] = ()
    tables: Sequence[tuple[str, pd.DataFrame]] = ()
    shared_tables: Sequence[tuple[str, pd.DataFrame]] | None = None
    headline: Sequence[str] = ()
    shared_headline: Sequence[str] = ()
    notes: Sequence[str] = ()
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How many comparisons an audit made.

    Attributes
    ----------
    made, tested, significant
        Comparisons, those that were tested, and those that stand after correction.
    attributes
        How many attributes they are over.
    """

    made: int = 0
    tested: int = 0
    significant: int = 0
    attributes: int = 0


@dataclass(frozen=True, kw_only=True)
class StudyContext:
    """Everything the report shows; all of it optional.

    Attributes
    ----------
    protocol
        The study's: words, order and units of outcomes, frames, colours.
    name, description
        Name of the study; a sentence or two about it.
    participants
        Cohort table: ``unit`` (or ``participant_id`` with optional ``session_id``), ``sex``, and
        any further attributes. Columns starting with ``truth_`` are never shown.
    stages
        Per-subject stages in order; stages of the ledger that are not listed follow behind.
    ledger
        ``unit, stage, status, reason, message, seconds, peak_mb``: one row per subject and stage.
    study_costs
        Stages run once for the whole study: ``stage, seconds, peak_mb``, optional ``cores``.
    cost_rates
        What 1,000 subjects cost: ``stage, n, core_hours_per_1000, gpu_hours_per_1000, peak_mb,
        startup_s``.
    qc_checks
        ``unit, check, kind, value, threshold, unit_of_value, verdict, message``.
    flagged_checks
        The rows of `qc_checks` of those in `flagged`, with their messages, where `qc_checks` is
        without; None where it has them.
    qc
        ``unit, verdict_auto, verdict, override_reason, override_by``.
    biomarkers
        ``unit`` and one column per biomarker.
    biomarker_dictionary
        ``column, unit, meaning, source``.
    reference_ranges
        ``column, sex, low, high, source``; sex may be ``all``.
    scores
        Agreement with reference labels: ``unit, structure, phase`` (or ``frame``), ``dice,
        hd95_mm, seen_in_training``.
    recon_scores
        Agreement with reference images: ``unit, variant, nrmse, psnr_db, ssim``.
    variant_scores
        What reconstructions do to labels and biomarkers: ``unit, variant, dice_mean``, biomarkers
        and each less that of the reference image (``NAME_error``).
    model_errors
        How the model erred on its validation subjects, as its bundle says: ``structure,
        dice_mean``, and optional ``phase, dice_lowest, hd95_mm, volume_ml, bias_pct``.
    harmonisation
        What was done to harmonise biomarkers between sites.
    associations
        ``outcome, term, estimate, ci_low, ci_high, p, q, n``.
    fairness_groups
        ``attribute, group, stage, outcome, n, n_missing, mean, median, sd, ci_low, ci_high,
        too_few``.
    fairness_gaps
        ``attribute, outcome, group, reference, gap, ci_low, ci_high, p, p_adj, test``.
    compared
        Comparisons of the whole audit, where `fairness_gaps` holds a part of them.
    fairness_summary
        One row per attribute and outcome with whatever the audit summarises.
    fairness_adjusted, fairness_pairs, fairness_funnel, fairness_exclusion, fairness_agreement, \
fairness_ledger
        Gaps adjusted for confounders, all pairs of groups, losses by group and stage, QC's
        exclusions at equal true quality, bias and limits of agreement by group, and the gap of a
        biomarker along the pipeline; columns as `popscan.fairness` makes them.
    fairness_predictions, fairness_calibration, fairness_thresholds
        Measures of audited predictions, calibration by bin, rates at every threshold.
    agreement_points
        ``unit, biomarker, measured, reference``: the pairs behind `fairness_agreement`.
    alpha
        Level of the audit's tests; 1 - confidence of its intervals.
    sentences
        The audit in words.
    words
        Part of the audit (``adjusted``, ``funnel``, ``exclusion``, ``agreement``, ``ledger``) ->
        its sentences.
    extras
        Further sections, shown behind fairness.
    atlas
        Group -> pictures: ``mean`` and ``p_REGION`` of the atlas's regions (2-D (x, y), or 3-D
        (x, y, z) of which the protocol's cuts are shown), optional ``n`` and ``spacing_mm``.
    provenance
        Versions, digests, seeds, machine, timings: words or nested mappings of words.
    config_text
        The config as the user wrote it.
    retrospective
        What k-space that was simulated from images cannot show; empty for other studies.
    gallery
        One slice by every variant of reconstruction, or why it cannot be shown.
    methods
        Sentences of the methods paragraph, with citations: see `popscan.report.boilerplate`.
    model_cards
        Name of a model bundle -> text of its card.
    limits
        Known limits of this study, each one sentence.
    flagged
        Subjects that get a page, the gravest first. Consumed once, one by one: a generator keeps
        memory flat.
    with_pages
        Those who have a page, in the order in which pages name the previous and the next one.
    """

    name: str = "Study"
    description: str = ""
    protocol: Protocol = _FIRST
    participants: pd.DataFrame = field(default_factory=pd.DataFrame)
    stages: Sequence[str] = tuple(stages_of("any"))
    ledger: pd.DataFrame = field(default_factory=pd.DataFrame)
    study_costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    cost_rates: pd.DataFrame = field(default_factory=pd.DataFrame)
    qc_checks: pd.DataFrame = field(default_factory=pd.DataFrame)
    flagged_checks: pd.DataFrame | None = None
    qc: pd.DataFrame = field(default_factory=pd.DataFrame)
    biomarkers: pd.DataFrame = field(default_factory=pd.DataFrame)
    biomarker_dictionary: pd.DataFrame = field(default_factory=pd.DataFrame)
    reference_ranges: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    recon_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    variant_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    model_errors: pd.DataFrame = field(default_factory=pd.DataFrame)
    associations: pd.DataFrame = field(default_factory=pd.DataFrame)
    harmonisation: Harmonised | None = None
    fairness_groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_gaps: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_adjusted: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_funnel: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_exclusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_agreement: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_ledger: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_calibration: pd.DataFrame = field(default_factory=pd.DataFrame)
    fairness_thresholds: pd.DataFrame = field(default_factory=pd.DataFrame)
    agreement_points: pd.DataFrame = field(default_factory=pd.DataFrame)
    compared: Compared | None = None
    alpha: float = 0.05
    sentences: Sequence[str] = ()
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extras: Sequence[Extra] = ()
    atlas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    retrospective: str = ""
    gallery: Gallery | str | None = None
    methods: Sequence[str] = ()
    model_cards: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    flagged: Iterable[FlaggedSubject] = ()
    with_pages: Sequence[str] = ()

    @property
    def wording(self) -> Words:
        """Words of the study's protocol."""
        return self.protocol.words
