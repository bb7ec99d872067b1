"""Names of crossed groups, and which groups of single attributes such a name stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice

#: Between the groups of an intersection, and between its attributes.
AND, TIMES = " & ", " x "

#: Groups of each attribute of an intersection; None where they are not known.
Known = tuple[frozenset[str] | None, ...]


def known_groups(crossed: str, groups: Mapping[str, frozenset[str]]) -> Known:
    """Return the groups of each attribute of an intersection.

    Parameters
    ----------
    crossed : str
        The intersection, ``sex x race``.
    groups : mapping
        Attribute -> its groups.

    Returns
    -------
    tuple of (frozenset of str or None)
        By attribute, in order; None for an attribute that `groups` lacks.
    """
    return tuple(groups.get(attribute) for attribute in crossed.split(TIMES))


@lru_cache(maxsize=65536)
def crossed_parts(name: str, known: Known) -> tuple[str, ...] | None:
    """Divide the name of a crossed group into the groups of its attributes.

    Names of groups may hold " & " themselves: "A & E & white" is "A & E" of a site and "white". So
    every division is tried, and one counts only if it is the only one of which all parts are known
    groups. Where an attribute's groups are not known, its part may be anything.

    Parameters
    ----------
    name : str
        As `crossed_names` makes it.
    known : tuple of (frozenset of str or None)
        As `known_groups` returns.

    Returns
    -------
    tuple of str or None
        One group by attribute; None where no division is possible, or more than one.

    Examples
    --------
    >>> sites, races = frozenset({"A & E", "B"}), frozenset({"white", "black"})
    >>> crossed_parts("A & E & white", (sites, races))
    ('A & E', 'white')
    >>> crossed_parts("A & E & white", (None, None)) is None
    True
    """
    found = list(islice(_divisions(name, known), 2))
    return found[0] if len(found) == 1 else None


def _divisions(name: str, known: Known) -> Iterator[tuple[str, ...]]:
    if len(known) == 1:
        yield from ((group,) for group in _meant(name, known[0]))
        return
    at = name.find(AND)
    while at >= 0:
        for group in _meant(name[:at], known[0]):
            for rest in _divisions(name[at + len(AND) :], known[1:]):
                yield (group, *rest)
        at = name.find(AND, at + 1)


def _meant(text: str, known: frozenset[str] | None) -> Sequence[str]:
    """Return the groups that a part of a name may stand for."""
    return (text,) if known is None else _by_text(known).get(text, ())


@lru_cache(maxsize=1024)
def _by_text(known: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in sorted(known):
        for text in dict.fromkeys((group, _without_and(group))):
            found.setdefault(text, []).append(group)
    return found


def _without_and(group: str) -> str:
    return group.replace(AND, " and ")


def crossed_names(combinations: Sequence[tuple[str, ...]]) -> list[str]:
    """Name combinations of groups, each by a name of its own.

    Parameters
    ----------
    combinations : sequence of tuple of str
        One group by attribute; no combination occurs twice.

    Returns
    -------
    list of str
        The groups joined by " & ". Where two combinations would have one name, " & " within a
        group becomes " and "; where even these are the same, the later ones are numbered.
    """
    names = [AND.join(groups) for groups in combinations]
    if len(set(names)) == len(names):
        return names
    known: Known = tuple(map(frozenset, zip(*combinations, strict=True)))
    found: dict[str, None] = {}
    for groups in combinations:
        first = name = AND.join(map(_without_and, groups))
        k = 1
        # A number must not make it the name of another combination.
        while name in found or crossed_parts(name, known) not in (None, groups):
            k += 1
            name = f"{first} ({k})"
        found[name] = None
    return list(found)
