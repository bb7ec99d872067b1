"""Words of a protocol: its outcomes, what is adjusted for body size, and how the report speaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A number that the audit compares between groups.

    Attributes
    ----------
    name
        Column, with its unit at the end: ``hippocampus_ml``.
    words
        Within a sentence: ``hippocampal volume``.
    better
        Whether higher or lower is better for the subject; biomarkers are ``neither`` as a rule.
        The audit takes it over.
    unit
        For the report's headings; empty where the name's ending says it.
    most
        Largest possible value where there is one: of a share of a whole 100.
    """

    name: str
    words: str
    better: Better = "neither"
    unit: str = ""
    most: float = math.inf


@dataclass(frozen=True, kw_only=True)
class SizeAdjustment:
    """Biomarkers that are also given adjusted for the size of a body part (residual method).

    Attributes
    ----------
    columns
        Biomarkers, each with its unit at the end: ``hippocampus_ml``.
    by
        The size, a biomarker: ``icv_ml``.
    name
        What the adjusted column's name says before the unit: ``hippocampus_icv_adjusted_ml``.
    """

    columns: tuple[str, ...]
    by: str
    name: str

    @property
    def made(self) -> dict[str, str]:
        """Biomarker -> its adjusted column."""
        parts = {column: column.rpartition("_") for column in self.columns}
        return {column: f"{stem}_{self.name}_{unit}" for column, (stem, _, unit) in parts.items()}


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words of the report and of messages.

    Attributes
    ----------
    organ
        Singular, lower case: ``brain``.
    acquisition
        What the images are, as a sentence begins: ``T1-weighted brain MR``.
    simulated
        How simulated subjects came about: ``simulated by the digital brain``.
    limits
        Sentences that every report of the protocol needs.
    legend
        A sentence that says which colour is what on images; empty where there are too many.
    pictured
        The frame that small pictures show, in words; empty without time axis.
    first
        Biomarkers that a reader looks for first in agreement and ledger, and after the outcomes
        elsewhere; by default the outcomes.
    parts
        Part of a column's name -> its words: ``{"icv": "intracranial volume"}``.
    capitals
        Parts of names that are written in capitals in headings: ``("icv",)``; one with a star at
        its end also begins other parts (``hip*``).
    titles
        Machine name (column, check, outcome) -> what people read, with its unit in brackets, where
        the name's own words do not say it: ``{"icv_ml": "Intracranial volume (mL)"}``.
    """

    organ: str
    acquisition: str
    simulated: str = "simulated"
    limits: tuple[str, ...] = ()
    legend: str = ""
    pictured: str = ""
    first: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    capitals: tuple[str, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
