"""The labelled structures of a protocol: names, codes, titles, colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from popscan.records import PopscanError

#: Words of the column `labels_by`: the labels came with the images; a model made them; a model made
#: them whose bundle states no agreement with labels of acquired images.
GIVEN, NETWORK, UNPROVEN = "given", "network", "network, unproven"
#: Names of structures and of protocols.
NAME = re.compile(r"[a-z][a-z0-9_]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One labelled structure.

    Attributes
    ----------
    name
        In columns, file names and bundles: ``hippocampus_left``.
    code
        In label arrays, 1 to 255.
    title
        Heading and legend: ``Left hippocampus``.
    colour
        ``#rrggbb``, of contours on grey images.
    on_white
        The same for lines on white, which need darker hues; by default `colour`.
    words
        Within a sentence, with its article: ``the left hippocampus``; by default the title.
    encloses
        Codes that its outline goes around as well, where it is a wall.
    """

    name: str
    code: int
    title: str
    colour: str
    on_white: str = ""
    words: str = ""
    encloses: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise PopscanError(f"structure name {self.name!r}: lower-case letters, digits, _")
        if not 1 <= self.code <= 255:
            raise PopscanError(f"structure {self.name}: code {self.code}; 1 to 255 expected")
        for colour in filter(None, (self.colour or "none", self.on_white)):
            if not _COLOUR.fullmatch(colour):
                raise PopscanError(f"structure {self.name}: colour {colour!r}; #rrggbb expected")


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The structures of a protocol, in the order in which tables list them. 0 is background.

    Raises
    ------
    PopscanError
        If a name or code is there twice, or there is no structure.
    """

    structures: tuple[Structure, ...]

    def __post_init__(self) -> None:
        if not self.structures:
            raise PopscanError("a label set needs at least one structure")
        for key in ("name", "code"):
            values = [getattr(s, key) for s in self.structures]
            if len(set(values)) < len(values):
                raise PopscanError(f"label set: a {key} is there twice: {values}")

    @cached_property
    def names(self) -> Mapping[int, str]:
        """Code -> name, in the order of the tables."""
        return {s.code: s.name for s in self.structures}

    @cached_property
    def codes(self) -> Mapping[str, int]:
        """Name -> code, in the order of the tables."""
        return {s.name: s.code for s in self.structures}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Name -> title."""
        return {s.name: s.title for s in self.structures}

    @cached_property
    def words(self) -> Mapping[str, str]:
        """Name -> words within a sentence."""
        return {s.name: s.words or s.title for s in self.structures}

    @property
    def either(self) -> str:
        """All names, for a sentence: ``rv, myo or lv``."""
        *others, last = self.codes
        return " or ".join(filter(None, (", ".join(others), last)))

    @cached_property
    def colours(self) -> Mapping[str, str]:
        """Name -> colour."""
        return {s.name: s.colour for s in self.structures}

    @property
    def outlines(self) -> tuple[tuple[tuple[int, ...], str], ...]:
        """Codes within each outline that is drawn, and its colour."""
        return tuple(((s.code, *s.encloses), s.colour) for s in self.structures)

    @property
    def largest(self) -> int:
        """Largest code."""
        return max(s.code for s in self.structures)
