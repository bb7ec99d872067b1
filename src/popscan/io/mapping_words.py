"""Words of relaxation times in files: endings of names, keys of sidecars, names of sequences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a protocol's images are called.

    Attributes
    ----------
    map_ending, raw_ending
        Endings of names, in lower case.
    time_key
        Key of sidecars, in seconds.
    """

    map_ending: str
    raw_ending: str
    time_key: str


T1 = Kind(map_ending="t1map", raw_ending="irt1", time_key="InversionTime")
T2 = Kind(map_ending="t2map", raw_ending="t2prep", time_key="T2PreparationTime")


def kind_of(view: str) -> Kind:
    """Return the words of a view: that of T2 begins with ``t2``."""
    return T2 if view.startswith("t2") else T1


def named_scheme(header: str, asked: str) -> tuple[str, str]:
    """Return how raw images of T1 are fitted, and whether config or header says so.

    Parameters
    ----------
    header
        Names that the header gives series and sequence.
    asked
        ``source.mapping.scheme``.

    Returns
    -------
    scheme, by
        Empty where neither says it: such a series is refused.
    """
    if asked != "auto":
        return asked, "config"
    text = header.lower()
    for name in ("shmolli", "molli"):
        if name in text:
            return name, "header"
    return "", ""
