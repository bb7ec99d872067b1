"""A methods paragraph with references, to be pasted into a paper: plain, LaTeX, BibTeX.

Sentences cite by ``[@key]`` (or ``[@a; @b]``), as pandoc does; keys are those of references.bib.
The text is given away under CC0: nobody has to quote it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

LICENCE = (
    "This text was written by popscan and is released under CC0: use it as it is, or change it."
)
_CITED = re.compile(r" ?\[((?:@\w+(?:; )?)+)\]")
_ENTRY = re.compile(r"^@\w+\{(\w+),.*?^\}$", re.DOTALL | re.MULTILINE)
_ESCAPED = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@cache
def entries() -> dict[str, str]:
    """Return the BibTeX entries that can be cited, by key."""
    text = (files("popscan.report") / "references.bib").read_text(encoding="utf-8")
    return {found.group(1): found.group(0) for found in _ENTRY.finditer(text)}


def cited(sentences: Sequence[str]) -> list[str]:
    """Return the keys that sentences cite, in the order of their first citation.

    Raises
    ------
    KeyError
        If a key has no entry: a fault of whoever wrote the sentence.
    """
    keys: dict[str, None] = {}
    for sentence in sentences:
        for found in _CITED.finditer(sentence):
            keys |= dict.fromkeys(key.removeprefix("@") for key in found.group(1).split("; "))
    for key in keys:
        entries()[key]
    return list(keys)


def plain(sentences: Sequence[str]) -> str:
    """Return the paragraph with numbered references below it."""
    keys = cited(sentences)
    numbers = {key: str(n) for n, key in enumerate(keys, start=1)}

    def numbered(found: re.Match[str]) -> str:
        named = [numbers[key.removeprefix("@")] for key in found.group(1).split("; ")]
        return f" [{', '.join(named)}]"

    text = _CITED.sub(numbered, " ".join(sentences))
    lines = [f"{numbers[key]}. {_reference(entries()[key])}" for key in keys]
    return "\n\n".join([text, "\n".join(lines), LICENCE]) if lines else f"{text}\n\n{LICENCE}"


def latex(sentences: Sequence[str]) -> str:
    r"""Return the paragraph with ``\cite`` and all special characters escaped."""
    pieces, last = [], 0
    text = " ".join(sentences)
    for found in _CITED.finditer(text):
        keys = ",".join(key.removeprefix("@") for key in found.group(1).split("; "))
        pieces += [_escaped(text[last : found.start()]), rf"~\cite{{{keys}}}"]
        last = found.end()
    return "".join([*pieces, _escaped(text[last:])]) + f"\n% {LICENCE}\n"


def bibtex(sentences: Sequence[str]) -> str:
    """Return the BibTeX entries of what is cited."""
    return "\n\n".join(entries()[key] for key in cited(sentences)) + "\n"


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)


def _reference(entry: str) -> str:
    """One line of an entry: authors, title, where, year, DOI."""
    fields = {
        name: " ".join(value.split())
        for name, value in re.findall(r"(\w+) = \{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", entry)
    }
    place = fields.get("journal") or fields.get("booktitle", "")
    where = " ".join(filter(None, (place, fields.get("volume"))))
    pages = fields.get("pages", "").replace("--", "-")
    where += (":" if "volume" in fields else ", pp. ") + pages if pages else ""
    people = _readable(fields["author"]).replace(" and others", " et al.").replace(" and ", "; ")
    title = _readable(fields["title"])
    doi = f" doi:{fields['doi']}" if "doi" in fields else ""
    return f"{_ended(people)} {_ended(title)} {where} ({fields['year']}).{doi}"


def _ended(text: str) -> str:
    return text if text[-1:] in ".?!" else f"{text}."


def _readable(text: str) -> str:
    """Return TeX's accents and braces as a reader wants them."""
    for accent, letter in (('\\"o', "\u00f6"), ("\\'a", "\u00e1"), ("\\~n", "\u00f1")):
        text = text.replace(accent, letter)
    return text.replace("{", "").replace("}", "")
