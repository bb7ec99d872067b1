"""Names as people type them (``sub-`` or not, zeros lost), and counts as people read them.

The Snakefile imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from popscan.cells import is_recorded
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


def plural(n: int, noun: str, many: str = "") -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> plural(1, "subject"), plural(1200, "subject"), plural(0, "study", "studies")
    ('1 subject', '1,200 subjects', 'no studies')
    """
    word = noun if n == 1 else (many or f"{noun}s")
    return f"{f'{n:,}' if n else 'no'} {word}"


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

    A first line with ``participant_id`` is a header; where it has ``session_id``, that visit is
    meant and not all of the subject, and other columns are left aside. Without a header a line is
    a subject, or a subject and a session (``ses-2``). A line that is neither is returned as it is,
    so that it is refused as the name of nobody. Words are separated by blanks, tabs, commas or
    semicolons.

    Examples
    --------
    >>> names_of_lines(["participant_id,age,session_id", "sub-1,50,2", "sub-2,60,"])
    ['sub-1_ses-2', 'sub-2']
    >>> names_of_lines(["sub-1 ses-2", "1000012", ""])
    ['sub-1_ses-2', '1000012']
    """
    filled = [line.strip("\r\n") for line in lines if line.strip()]
    by = next((mark for mark in "\t;," if filled and mark in filled[0]), "")
    rows = [_words(line, by) for line in filled]
    header = [word.lower() for word in rows[0]] if rows else []
    if "participant_id" not in header:
        return [_name_of_line(line) for line in filled]
    one, session = (
        header.index(name) if name in header else len(header)
        for name in ("participant_id", "session_id")
    )
    names = []
    for line, row in zip(filled[1:], rows[1:], strict=True):
        cells = dict(enumerate(row))
        ses = cells.get(session, "")
        if not is_recorded(cells.get(one, "")):
            names.append(line.strip())
        elif not is_recorded(ses):
            names.append(cells[one])
        else:
            names.append(f"{cells[one]}_ses-{ses.removeprefix('ses-')}")
    return names


def _name_of_line(line: str) -> str:
    """Return a subject, or its visit; the line itself where it is something else."""
    by = next((mark for mark in "\t;," if mark in line.strip()), "")
    words = [word for word in _words(line.strip(), by) if word]
    if len(words) == 2 and words[1].startswith("ses-") and "_ses-" not in words[0]:
        return "_".join(words)
    return words[0] if len(words) == 1 else line.strip()


def _words(line: str, by: str) -> list[str]:
    cut = line.split(by) if by else line.split()
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
    import difflib  # a mistake is rare, and every job would wait for it

    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
