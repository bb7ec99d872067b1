"""The methods paragraph: citations, LaTeX and BibTeX that agree with each other."""

import re

import pytest

from popscan.protocols import get_protocol, known
from popscan.report import boilerplate

SENTENCES = ["We used A & B_1 [@snakemake; @pytorch].", "50% were lost [@pytorch]."]


def test_citations_are_numbered_in_order_of_appearance() -> None:
    text = boilerplate.plain(SENTENCES)
    assert text.startswith("We used A & B_1 [1, 2]. 50% were lost [2].")
    assert re.search(r"^1\. M\u00f6lder, Felix; .* et al\. Sustainable", text, re.MULTILINE)
    assert re.search(r"^2\. Paszke", text, re.MULTILINE)
    assert "3." not in text.split("CC0")[0].splitlines()[-1]
    assert "CC0" in text


def test_latex_escapes_and_cites() -> None:
    text = boilerplate.latex(SENTENCES)
    assert r"A \& B\_1~\cite{snakemake,pytorch}. 50\% were lost~\cite{pytorch}." in text


def test_bibtex_has_what_is_cited_and_no_more() -> None:
    found = re.findall(r"^@\w+\{(\w+),", boilerplate.bibtex(SENTENCES), re.MULTILINE)
    assert found == ["snakemake", "pytorch"]


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(KeyError, match="nobody"):
        boilerplate.plain(["As shown [@nobody]."])


def test_nothing_cited() -> None:
    assert boilerplate.plain(["Nothing."]).startswith("Nothing.\n\nThis text")
    assert boilerplate.bibtex(["Nothing."]).strip() == ""


@pytest.mark.parametrize("key", sorted(boilerplate.entries()))
def test_every_entry_reads_well(key: str) -> None:
    """Balanced braces, and a line without TeX in the plain text."""
    entry = boilerplate.entries()[key]
    assert entry.count("{") == entry.count("}")
    line = boilerplate.plain([f"x [@{key}]."]).split("\n\n")[1]
    assert re.search(r"\((19|20)\d\d\)\.", line), line
    assert not set('{}\\"') & set(line), line


def test_an_entry_lost_in_parsing_would_be_noticed() -> None:
    from importlib.resources import files

    text = (files("popscan.report") / "references.bib").read_text(encoding="utf-8")
    assert len(boilerplate.entries()) == len(re.findall(r"^@", text, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(known()))
def test_a_protocols_sentences_cite_what_exists(name: str) -> None:
    from popscan.config import Config
    from popscan.protocol import load

    protocol = get_protocol(name)
    config = Config.model_validate({"protocol": name}).model_dump()
    sentences = load(protocol.methods_text)(config)
    assert sentences
    boilerplate.cited(sentences)
