"""Words that make readers stumble stay out of what they read: messages, help, docs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Pattern -> what to write instead.
WORDS = {
    r"\btold\b|\btells?\b|\btelling\b": "report, predict, distinguish",
    r"\bsaid\b": "state, report",
    r"\bheld equal\b": "adjusted for",
    r"\bgo(es)? together with\b": "is associated with",
    r"\bheld (fixed|the same)\b": "adjusted for",
    r"\bwhich way (it|the \w+) is good\b": "whether higher or lower is better",
}


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    """Give line and text of every string in a module: messages, help, docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _texts(root: Path) -> Iterator[tuple[str, int, str]]:
    for path in sorted((root / "src").rglob("*.py")):
        for line, text in _strings(path):
            yield path.relative_to(root).as_posix(), line, text
    for path in [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *sorted((root / "docs").glob("*.md")),
    ]:
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path.relative_to(root).as_posix(), number, text


@pytest.fixture(scope="module")
def texts(repo_root: Path) -> list[tuple[str, int, str]]:
    """Every text that a reader may meet: file, line, text."""
    return list(_texts(repo_root))


@pytest.mark.parametrize("pattern", WORDS)
def test_no_stumbling_block(texts: list[tuple[str, int, str]], pattern: str) -> None:
    found = [
        f"{name}:{line}: {match.group()!r}; better: {WORDS[pattern]}"
        for name, line, text in texts
        for match in re.finditer(pattern, text, flags=re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_names_can_be_searched_for(repo_root: Path) -> None:
    vague = re.compile(r"^\s*(told|said)\b.* = |\b(told|said)\(", re.MULTILINE)
    found = [
        f"{path.relative_to(repo_root)}: {match.group()}"
        for path in sorted((repo_root / "src").rglob("*.py"))
        for match in vague.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
