"""docs/sentences.md holds every sentence that a report can make, with examples that are theirs."""

from __future__ import annotations

import html
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from popscan.report.names import readable
from popscan.report.pages import render_study
from sentences import MODULES, PAGE, Template, fits, read_page, templates, written

#: Habits that a sentence of the report does not have.
HABITS = {
    r"(?<![\d.,±-])\b1 (subjects|visits|references|comparisons|slices|frames|verdicts|scans|rows|"
    r"columns|trainings|spokes|results|values|units|pairs|copies)\b": "one is not many",
    r"\b1 (repeated|exactly equal) \w+s\b": "one is not many, either",
    r"\b(\w{3,}) \1\b": "a word twice",
    r"\bnan\b|\bNone\b|\binf\b": "what a computer calls it",
    r" [,.;:](?= |$)|\(\)|\.\.$": "an empty place",
}


@pytest.fixture(scope="module")
def listed() -> dict[tuple[str, str], str]:
    """Module and sentence -> example, as the page has them."""
    return read_page(PAGE.read_text(encoding="utf-8"))


def test_every_sentence_of_the_code_is_listed_and_no_other(listed):
    found = {(one.module, one.text) for one in templates()}
    assert len(found) > 500
    hint = "run 'make sentences' and read what it adds"
    assert sorted(found - set(listed)) == [], hint
    assert sorted(set(listed) - found) == [], hint


def test_every_sentence_with_a_place_to_fill_has_an_example_that_is_one(listed):
    filled = [one for one in templates() if len(one.exact) > 1]
    wrong = [one.text for one in filled if not fits(one, listed[one.module, one.text])]
    assert wrong == [], "give an example in docs/sentences.md by hand, or a test that makes one"


@pytest.mark.parametrize("habit", HABITS)
def test_no_example_has_a_bad_habit(listed, habit):
    texts = [example or text for (_, text), example in listed.items()]
    assert [text for text in texts if re.search(habit, text)] == [], HABITS[habit]


def test_a_new_sentence_is_found(tmp_path, listed):
    """In a function of any listed module; filled in or not; also within another string."""
    source = Path(__file__).resolve().parents[2] / "src" / "popscan"
    shutil.copytree(source / "report", tmp_path / "src" / "popscan" / "report")
    path = tmp_path / "src" / "popscan" / "report" / "sections" / "atlas.py"
    added = """

def _new(n: int) -> str:
    return f"{n} subjects were {'not seen by anyone at all' if n else 'seen'} this year."


def _fixed() -> str:
    return "Nobody has ever written this sentence."
"""
    path.write_text(path.read_text() + added)
    new = {one.text for one in templates(tmp_path) if (one.module, one.text) not in listed}
    assert new == {
        "{n} subjects were {not seen by anyone at all|seen} this year.",
        "not seen by anyone at all",
        "Nobody has ever written this sentence.",
    }


def test_modules_that_make_parts_of_a_report_are_all_looked_at(repo_root):
    folder = repo_root / "src" / "popscan"
    looked_at = {path for pattern in MODULES for path in folder.glob(pattern)}
    makes = re.compile(r"\b(Extra|Section|Text|Bullets|Table|Figure|Card)\(\s*\w+=")
    imports = re.compile(r"from popscan\.report\.(blocks|context) import")
    makers = [
        path
        for path in folder.rglob("*.py")
        if imports.search(text := path.read_text(encoding="utf-8")) and makes.search(text)
    ]
    assert len(makers) > 20
    assert [path for path in makers if path not in looked_at] == []


class Sentences(HTMLParser):
    """Paragraphs, items, captions and lines of closed sections, as text."""

    KINDS = ("p", "li", "figcaption", "caption")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.KINDS or (tag == "span" and "line" in (dict(attrs).get("class") or "")):
            self._open = True
            self.found.append("")
        elif tag in ("pre", "nav", "svg"):
            self._open = False

    def handle_endtag(self, tag: str) -> None:
        if tag in self.KINDS:
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.found[-1] += data


def shown(piece: str) -> str:
    """Return a literal piece of a sentence as a page shows it."""
    return html.unescape(re.sub(r"<.*?>", "", str(readable(piece))))


def unlisted(page: str, known: list[Template], given: str) -> list[str]:
    """Sentences of a page that no listed one can have made.

    A listed one made a sentence if it has all its pieces in their order, and they are not merely a
    few letters.
    """
    reader = Sentences()
    reader.feed(page)
    pieces = [[shown(piece).strip() for piece in one.exact] for one in known]
    strong = [p for p in pieces if max(map(len, p)) >= 7]
    left = []
    for text in (" ".join(t.split()) for t in reader.found):
        for sentence in re.split(r"(?<=[a-z)”][.?!]) (?=[A-Z])", text):
            n_words = len(re.findall(r"[A-Za-z]{2,}", sentence))
            if n_words < 4 or not sentence.endswith((".", "?", ":")) or sentence in given:
                continue
            if not any(
                any(sentence in piece for piece in p)
                or (_in_order(p, text) and _touches(p, sentence))
                for p in strong
            ):
                left.append(sentence)
    return left


def _in_order(pieces: list[str], text: str) -> bool:
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def _touches(pieces: list[str], sentence: str) -> bool:
    """Whether a piece of some length is in the sentence, or the sentence in a piece."""
    return any(
        len(piece) >= 7 and (sentence in piece or piece in sentence or _overlap(piece, sentence))
        for piece in pieces
    )


def _overlap(piece: str, sentence: str) -> bool:
    """Whether the end of one is the beginning of the other."""
    least = 8
    return any(
        piece.endswith(sentence[:n]) or sentence.endswith(piece[:n])
        for n in range(least, min(len(piece), len(sentence)) + 1)
    )


@pytest.mark.parametrize("share", [False, True])
def test_a_report_makes_no_other_sentence(make_context, tmp_path, share):
    context = make_context(40, flagged=1)
    where = render_study(context, tmp_path, share=share)
    known = templates()
    given = " ".join(
        [*context.sentences, *context.limits, context.description, *context.model_cards.values()]
    )
    page = where.read_text(encoding="utf-8")
    assert unlisted(page, known, given) == []
    slipped = page.replace("</main>", "<p>This sentence slipped in by another door.</p></main>")
    assert unlisted(slipped, known, given) == ["This sentence slipped in by another door."]


def test_the_page_is_written_as_it_is_read(listed):
    found = templates()
    for one in found:
        if len(one.exact) > 1:
            one.example = listed[one.module, one.text]
    assert written(found) == PAGE.read_text(encoding="utf-8")
