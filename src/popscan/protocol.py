"""A protocol: all that is of one organ and modality, declared in one place.

Nothing here is of any organ. A protocol is a folder ``popscan/protocols/NAME`` (or a module of
another package, by the entry point group ``popscan.protocols``) with ``PROTOCOL = Protocol(...)``.
Whatever is heavy stands as ``"module:name"`` and is loaded where it is used: see `load`.

Names for the reader: *view* one series of a visit that has a name in files (``t1w``);
*frame* one index of the last axis; *phase* a frame that has a name, of which a protocol
without time axis has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from popscan.columns import Column
from popscan.labelset import NAME, LabelSet, Structure
from popscan.protocol_beside import Beside, Limit, Visit
from popscan.protocol_parts import (
    PLACE,
    Biomarkers,
    Motion,
    Quality,
    Segmentation,
    Series,
    Simulation,
    Sorting,
    Where,
    load,
)
from popscan.protocol_words import Outcome, SizeAdjustment, Words
from popscan.records import PopscanError
from popscan.spaces import AtlasFrame, CropFrame, Cut, Region

__all__ = [
    "AtlasFrame", "Beside", "Biomarkers", "CropFrame", "Cut", "LabelSet", "Limit", "Motion",
    "Outcome", "Protocol", "Quality", "Region", "Segmentation", "Series", "Simulation",
    "SizeAdjustment", "Sorting", "Structure", "Visit", "Words", "load",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """All that is of one organ and modality.

    Attributes
    ----------
    name
        What the config says: ``protocol: NAME``; lower case, digits and ``_``.
    title
        For people.
    series
        Series wanted; the first is the one that is segmented.
    labels
        The label set.
    sources
        Kind of source in the config -> reader ``"module:class"`` (see `popscan.io.sources`).
    words
        Words for report and messages.
    segmentation, quality, biomarkers
        The stages' own; see there.
    orientation
        ``(scan, labels or None) -> (scan, labels or None)``: brings a scan of any view, and labels
        on its grid, into the protocol's orientation. Empty: as they were read.
    ingest
        ``(scan, labels or None) -> (scan, labels or None, values)``: what else is done with a
        checked scan in its orientation (bias field); `values` are further columns of the
        participants table. Raises `SubjectError`. Empty: nothing.
    notes
        ``(scan) -> list of sentences`` on what a header leaves open or contradicts, beside what
        every scan is asked. Empty: none.
    label_coding
        ``(array) -> (coding, why) or None``: for reference labels whose codes look exchanged, what
        ``source.label_codes`` should say and what speaks for it. Empty: codes are believed.
    other_words
        Parts of file names that say a series of this organ that is none of `series`.
    phases
        ``(labels, *, frames, frame_labels) -> dict phase -> frame``, labels (x, y, z, t); empty
        without time axis: then frame 0 is meant wherever a phase is.
    phase_names
        Names that `phases` gives, in order.
    atlas, crops, simulation
        Frame in which subjects are averaged, crops on which reference cases judge a segmentation
        (rca), and the digital population; None where there is none, and the stages are refused.
    motion
        What is measured of the motion over the cycle; None where the stage is refused.
    sorting
        Names that `popscan check FOLDER` gives to series of an unknown tree; None for none.
    adjustments
        Biomarkers that the study adjusts for the size of a body part.
    outcomes
        Biomarkers that the audit follows by default, in the order in which the report names them.
    columns
        Column of the participants table -> what it means, where the protocol writes it or knows
        more of it than popscan.
    equals
        Biomarker -> the name that other protocols have for the same quantity, in the same unit.
    beside
        Other protocols against which each visit is held where a study has both.
    report_blocks
        Functions ``(context: StudyContext) -> Extra | None`` (`popscan.report.context`), each a
        section of the report behind the atlas; None where there is nothing to show.
    published
        ``() -> DataFrame`` of published ranges, with the columns of
        `popscan.associate.published.COLUMNS`; empty for none.
    methods_text
        ``(config) -> list of sentences`` of the study's methods paragraph: what is segmented and
        measured, and how; ``[@key]`` cites (see `popscan.report.boilerplate`). Empty: none.
    config
        Section -> key -> default, where it differs from popscan's: which terms associations have,
        which limits a check. Keys that follow from the rest (model, methods, views, outcomes) need
        not stand here: see `defaults`.
    source_section
        Section of ``source`` that its sources take as an option of that name (``mapping``): what
        files do not say of images whose values are quantities. Regions of such images come with
        them. Empty for none.
    mb_per_subject
        About how much results of a subject take on disk, for `popscan check`; 0: not known.
    version
        Raised when the protocol's code changes its results.

    Raises
    ------
    PopscanError
        If a name or a ``"module:name"`` is not written as one.
    """

    name: str
    title: str
    series: tuple[Series, ...]
    labels: LabelSet
    sources: Mapping[str, Where]
    words: Words
    segmentation: Segmentation
    quality: Quality
    biomarkers: Biomarkers
    orientation: Where = ""
    ingest: Where = ""
    notes: Where = ""
    label_coding: Where = ""
    other_words: tuple[str, ...] = ()
    phases: Where = ""
    phase_names: tuple[str, ...] = ()
    atlas: AtlasFrame | None = None
    crops: CropFrame | None = None
    simulation: Simulation | None = None
    motion: Motion | None = None
    sorting: Sorting | None = None
    adjustments: tuple[SizeAdjustment, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    equals: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Beside, ...] = ()
    report_blocks: tuple[Where, ...] = ()
    published: Where = ""
    methods_text: Where = ""
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source_section: str = ""
    mb_per_subject: float = 0.0
    version: str = "1"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise PopscanError(f"protocol name {self.name!r}: lower-case letters, digits, _")
        if not self.series:
            raise PopscanError(f"protocol {self.name}: at least one series is expected")
        views = [s.view for s in self.series]
        if len(set(views)) < len(views):
            raise PopscanError(f"protocol {self.name}: a view is there twice: {views}")
        if self.segmentation.method not in self.segmentation.methods:
            raise PopscanError(f"protocol {self.name}: no method {self.segmentation.method!r}")
        if self.biomarkers.method not in self.biomarkers.methods:
            raise PopscanError(f"protocol {self.name}: no method {self.biomarkers.method!r}")
        if self.atlas is not None:
            self._check_regions(self.atlas)
        for key, where in self.places().items():
            if not PLACE.fullmatch(where):
                raise PopscanError(
                    f"protocol {self.name}: {key}: {where!r}; 'module:name' expected"
                )

    def _check_regions(self, atlas: AtlasFrame) -> None:
        known = {region.name for region in atlas.regions}
        for region in atlas.regions:
            if absent := [name for name in region.structures if name not in self.labels.codes]:
                raise PopscanError(
                    f"protocol {self.name}: region {region.name} of the atlas: no structure "
                    f"{', '.join(absent)}"
                )
        for cut in atlas.cuts:
            if cut.region not in known:
                raise PopscanError(
                    f"protocol {self.name}: cut {cut.title} of the atlas: no region {cut.region!r}"
                )

    @property
    def view(self) -> str:
        """The view that is segmented."""
        return self.series[0].view

    @property
    def views(self) -> tuple[str, ...]:
        """All views."""
        return tuple(s.view for s in self.series)

    @property
    def network_codes(self) -> Mapping[str, int]:
        """Name -> code of what a bundle of this protocol must label."""
        names = self.segmentation.network_labels
        if not names:
            return self.labels.codes
        return {name: code for code, name in enumerate(names, start=1)}

    def suffix(self, view: str) -> str:
        """Return what the name of an image of a view ends in: its first BIDS suffix."""
        for one in self.series:
            if one.view == view and one.suffixes:
                return one.suffixes[0]
        return (self.series[0].suffixes or ("image",))[0]

    @property
    def has_time(self) -> bool:
        """Whether the segmented series has a time axis."""
        return bool(self.series[0].time_axis)

    def defaults(self, *, segment: str = "") -> dict[str, dict[str, Any]]:
        """Return section -> key -> default of the config, of what the protocol decides.

        Parameters
        ----------
        segment
            The method of segmentation that the config names; empty for the protocol's own.
        """
        own: dict[str, dict[str, Any]] = {
            "source": {"views": [s.view for s in self.series if s.required]},
            "segment": {
                "method": self.segmentation.method,
                "model": self.segmentation.bundle_of(segment),
            },
            "biomarkers": {"method": self.biomarkers.method},
            "associate": {"outcomes": [outcome.name for outcome in self.outcomes]},
            "fairness": {"biomarkers": [outcome.name for outcome in self.outcomes]},
            "atlas": {"enabled": self.atlas is not None},
            "rca": {"phases": list(self.phase_names[:1])},
        }
        if not self.segmentation.in_plane:
            own["visibility"] = {"sources": ["biomarkers", "labels", "organ", "image"]}
        for section, keys in self.config.items():
            own[section] = {**own.get(section, {}), **keys}
        return own

    def places(self) -> dict[str, Where]:
        """Return everything that is loaded when it is used, by what it is."""
        named = {
            **{f"sources.{k}": v for k, v in self.sources.items()},
            **{f"segmentation.methods.{k}": v for k, v in self.segmentation.methods.items()},
            **{f"segmentation.together.{k}": v for k, v in self.segmentation.together.items()},
            **{f"biomarkers.methods.{k}": v for k, v in self.biomarkers.methods.items()},
            "orientation": self.orientation,
            "ingest": self.ingest,
            "notes": self.notes,
            "label_coding": self.label_coding,
            "phases": self.phases,
            "methods_text": self.methods_text,
        }
        for key in ("quality", "biomarkers", "atlas", "crops", "simulation", "motion", "sorting"):
            part = getattr(self, key)
            words = ("method", "words", "legend", "phase", "around", "shown")
            fields = vars(part).items() if part is not None else ()
            named |= {f"{key}.{k}": v for k, v in fields if isinstance(v, str) and k not in words}
        named["segmentation.columns"] = self.segmentation.columns
        named["segmentation.training"] = self.segmentation.training
        for one in self.beside:
            named |= {f"beside.{one.of}.{k}": getattr(one, k) for k in ("measure", "dictionary")}
        named |= {f"report_blocks.{i}": v for i, v in enumerate(self.report_blocks)}
        return {key: where for key, where in named.items() if where}
