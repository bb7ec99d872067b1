"""Names as people type them: of subjects, with or without ``sub-``, and numbers that lost zeros.

The Snakefile imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from popscan.records import PopscanError


def name_list(named: object) -> list[str]:
    """Return the value of ``--config subjects`` as names: a text with commas, a number, a list.

    Examples
    --------
    >>> name_list("sub-0001, sub-0002"), name_list(1000012), name_list(["sub-1", 7]), name_list("")
    (['sub-0001', 'sub-0002'], ['1000012'], ['sub-1', '7'], [])
    """
    parts = named if isinstance(named, (list, tuple)) else str(named).split(",")
    return [name for part in parts if (name := str(part).strip())]


def subject_of(unit: str) -> str:
    """Return the subject's label of a visit's identifier, without the session.

    Examples
    --------
    >>> subject_of("sub-0001_ses-2"), subject_of("sub-0001")
    ('sub-0001', 'sub-0001')
    """
    return unit.split("_ses-")[0]


def matching_units(names: Iterable[str], units: Iterable[str]) -> list[str]:
    """Return the visits that the names mean, in order of `units`; unknown names match none.

    Examples
    --------
    >>> matching_units(["1000012"], ["sub-1000012_ses-2", "sub-1000013_ses-2"])
    ['sub-1000012_ses-2']
    """
    wanted = {form for name in names for form in (name, f"sub-{name}")}
    return [unit for unit in units if {unit, subject_of(unit)} & wanted]


def resolve_units(names: Sequence[str], units: Sequence[str], *, where: str) -> list[str]:
    """Return the visits that the names mean; refuse what is unknown or ambiguous.

    A number has lost its leading zeros before it arrives (YAML reads 0012 as 10, Snakemake as 12),
    so it never stands for a subject whose name is padded with zeros.

    Parameters
    ----------
    names
        Subjects (``sub-0001``, ``0001``, 1000012 as text) or visits (``sub-0001_ses-2``).
    units
        All visits of the study.
    where
        Where the names come from, for messages.

    Raises
    ------
    PopscanError
        Naming what was not found, and the subjects that may have been meant.
    """
    known = {form for unit in units for form in (unit, subject_of(unit))}
    missing, problems = [], []
    for name in names:
        exact = {name, f"sub-{name}"} & known
        padded = _padded(name, known)
        if padded:
            listed = ", ".join(sorted(exact | padded)[:5])
            problems.append(
                f"{where}: {name} is ambiguous, since numbers lose leading zeros; "
                f"write one of {listed} (with sub-)"
            )
        elif not exact:
            missing.append(name)
    if missing:
        listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        problems.append(f"{where}: not in the study: {listed}")
    if problems:
        raise PopscanError("; ".join(problems))
    return matching_units(names, units)


def spelling(name: str) -> tuple[str, ...]:
    """Return what is left of a name without capitals, leading zeros and separators.

    Examples
    --------
    >>> spelling("sub-AB_0012") == spelling("sub-ab-12"), spelling("sub-1_2") == spelling("sub-12")
    (True, False)
    """
    parts = re.findall(r"[a-z]+|[0-9]+", name.casefold())
    while parts[:2] == ["sub", "sub"]:  # SUB-01 was given a prefix
        del parts[0]
    return tuple(part.lstrip("0") or "0" if part.isdigit() else part for part in parts)


def spellings(names: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Return spelling -> names, sorted."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        found.setdefault(spelling(name), []).append(name)
    return found


def names_of_lines(lines: Iterable[str]) -> list[str]:
    """Return the subjects and visits that a list names, one per line.

    A first line with ``participant_id`` is a header; where it has ``session_id``, or the second
    word of a line is a session (``ses-2``), that visit is meant and not all of the subject. Words
    are separated by blanks, tabs, commas or semicolons; others than these are left aside.

    Examples
    --------
    >>> names_of_lines(["participant_id,age,session_id", "sub-1,50,2", "sub-2,60,"])
    ['sub-1_ses-2', 'sub-2']
    >>> names_of_lines(["sub-1 ses-2", "1000012", ""])
    ['sub-1_ses-2', '1000012']
    """
    rows = [_words(line) for line in lines if line.strip()]
    header = [word.lower() for word in rows[0]] if rows else []
    place = {"participant_id": 0, "session_id": 1}
    if "participant_id" in header:
        place = {name: header.index(name) if name in header else -1 for name in place}
        rows = rows[1:]
    names = []
    for row in rows:
        one = row[place["participant_id"]] if len(row) > place["participant_id"] else ""
        at = place["session_id"]
        ses = row[at] if 0 <= at < len(row) else ""
        if "session_id" in header and ses:
            ses = ses if ses.startswith("ses-") else f"ses-{ses}"
        names.append(f"{one}_{ses}" if ses.startswith("ses-") and "_ses-" not in one else one)
    return [name for name in names if name]


def _words(line: str) -> list[str]:
    cut = re.split(r"[\t,;]", line) if re.search(r"[\t,;]", line) else line.split()
    return [word.strip().strip('"') for word in cut]


def _padded(name: str, known: set[str]) -> set[str]:
    """Subjects padded with zeros that a number of digits alone may have meant."""
    if not (name.isascii() and name.isdecimal()) or name.startswith("0"):
        return set()
    found = set()
    for label in known:
        digits = label.removeprefix("sub-")
        if not digits.startswith("0") or not (digits.isascii() and digits.isdecimal()):
            continue
        octal = int(digits, 8) if not set(digits) & set("89") else -1
        if digits.lstrip("0") == name or str(octal) == name:
            found.add(label)
    return found


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``run-2`` before ``run-10``.

    Examples
    --------
    >>> sorted(["run-10", "run-2"], key=natural)
    ['run-2', 'run-10']
    """
    parts = re.split(r"([0-9]+)", text.lower())
    pairs = enumerate(parts)
    return tuple((1, int(p[:300]), "") if n % 2 else (0, 0, p) for n, p in pairs if p)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint to the names that are most like it, with a blank before; empty without any.

    Examples
    --------
    >>> did_you_mean("trim", ["trim_pct", "seed"])
    " (did you mean 'trim_pct'?)"
    """
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
