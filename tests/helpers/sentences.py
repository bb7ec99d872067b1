"""The sentences that reports can make, read from the code, with examples from the tests' reports.

``docs/sentences.md`` lists them. As a pytest plugin (``make sentences``) this module notes what the
f-strings of `MODULES` become while tests run, and writes that page;
``tests/report/test_sentences.py`` holds the page against the code.
"""

from __future__ import annotations

import ast
import html
import importlib.abc
import importlib.machinery
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sentences.md"
#: Modules below src/popscan whose texts come into a report.
MODULES = (
    "report/**/*.py",
    "report/templates/*.j2",
    "fairness/*.py",
    "commands/qc_tune.py",
    "commands/table_ranges.py",
    "stages/*/*report.py",
    "stages/report/*.py",
    "stages/associate/precision.py",
    "stages/fairness/coverage.py",
    "stages/reconstruct/learned.py",
    "study/predictions.py",
    "study/joined.py",
    "stats/harmonise.py",
    "experiment/*page.py",
    "experiment/words.py",
    "qc/*.py",
    "protocols/*/__init__.py",
    "protocols/*/parts.py",
    "protocols/*/methods.py",
    "protocols/**/report.py",
    "protocols/**/qc*.py",
    "protocols/**/qc/*.py",
)
#: What these hold are titles and descriptions of columns.
NOT = ("report/names.py", "report/columns.py", "report/units.py", "fairness/dictionary.py")
_HOLE = re.compile(r"\{([^{}]*)\}")
_ENDS = re.compile(r"[.?!](?:\s|$)")
#: Names of people who do not exist, and texts that attack: no examples.
_BAD = re.compile(r"<script|alert\(|x{20}|onerror|Ελλην|\bnan\b|\{\{|/tmp/|pytest")
_HEAD = """# Sentences of the report

Every sentence and part of a sentence of the modules that make reports, by module; words
in braces are filled in by the study. Below those with a place to fill stands an example, taken
from the reports of the tests or written by hand, with made-up numbers; names of columns in it
(`age_years`) are shown by their titles in a report. Not listed: titles, names of columns, texts
of fewer than four words (two in a sentence that is filled in), buttons and hints of the page's
scripts, and messages of failed subjects ([reason codes](reasons.md)). `make sentences` writes
this page.
"""


@dataclass
class Template:
    """One sentence of the code.

    Attributes
    ----------
    module
        Path below src/popscan.
    text
        With ``{name}`` where something is filled in.
    exact
        The literal pieces between the places; one piece where nothing is filled in.
    example
        As a report has it; the text itself where nothing is filled in.
    """

    module: str
    text: str
    exact: tuple[str, ...]
    example: str = ""
    line: int = field(default=0, compare=False)

    @property
    def pattern(self) -> re.Pattern[str]:
        """What matches the sentences made from it."""
        return re.compile("(.*?)".join(map(re.escape, self.exact)), re.DOTALL)

    @property
    def whole(self) -> bool:
        """Whether it ends as a sentence does, or holds the end of one."""
        return bool(_ENDS.search("{}".join(self.exact)))


def templates(root: Path = ROOT) -> list[Template]:
    """Return the sentences in the code, by module and line; equal ones of a module once."""
    folder = root / "src" / "popscan"
    found: list[Template] = []
    paths = sorted({path for pattern in MODULES for path in folder.glob(pattern)})
    for path in paths:
        module = path.relative_to(folder).as_posix()
        if module in NOT:
            continue
        text = path.read_text(encoding="utf-8")
        here = _of_page(module, text) if path.suffix == ".j2" else _of_code(module, text)
        seen: set[str] = set()
        for one in here:
            if one.text not in seen:
                seen.add(one.text)
                found.append(one)
    return found


def _of_code(module: str, text: str) -> Iterator[Template]:
    for node, at_top in _strings(ast.parse(text)):
        one = _template(module, node)
        if one and (one.whole or not at_top):
            yield one


def _of_page(module: str, text: str) -> Iterator[Template]:
    """Texts of a Jinja page between its tags."""
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    for piece in re.split(r"\{%.*?%\}|</?(?!code|kbd)[a-z][^<>]*?>", text, flags=re.DOTALL):
        plain = re.sub(r"</?(?:code|kbd)>", "", piece)
        parts = re.split(r"\{\{(.*?)\}\}", " ".join(plain.split()))
        exact = tuple(html.unescape(part) for part in parts[::2])
        holes = [re.sub(r"\W.*", "", name.strip()) for name in parts[1::2]]
        if one := _made(module, exact, holes, 0):
            yield one


def _strings(tree: ast.AST, at_top: bool = True) -> Iterator[tuple[ast.expr, bool]]:
    """Give strings that may be shown: no docstrings, no messages of exceptions, no annotations."""
    if isinstance(tree, ast.Raise | ast.Assert | ast.arguments):
        return
    if isinstance(tree, ast.Call) and getattr(tree.func, "id", "").endswith("Error"):
        return
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    if isinstance(tree, ast.JoinedStr):
        yield tree, at_top
        for part in tree.values:
            if isinstance(part, ast.FormattedValue):
                yield from _strings(part.value, at_top)
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree, at_top
        return
    inner = at_top and not isinstance(tree, ast.FunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(tree):
        yield from _strings(child, inner)


def _template(module: str, node: ast.expr) -> Template | None:
    if isinstance(node, ast.Constant):
        return _made(module, (str(node.value),), [], node.lineno)
    exact, holes = [""], []
    for part in node.values:  # type: ignore[attr-defined]
        if isinstance(part, ast.Constant):
            exact[-1] += str(part.value)
        else:
            holes.append(_name(part.value))
            exact.append("")
    return _made(module, tuple(exact), holes, node.lineno)


def _made(module: str, exact: tuple[str, ...], holes: Sequence[str], line: int) -> Template | None:
    words = re.findall(r"(?:^|(?<=[\s(]))[A-Za-z][a-z'-]+(?=[\s.,;:?!)]|$)", " ".join(exact))
    ends = bool(holes) and "".join(exact).rstrip().endswith((".", ":"))
    if len(words) < (2 if ends else 4) or re.search(r"<[a-z]|\n\n", "".join(exact)):
        return None
    text = exact[0]
    for hole, after in zip(holes, exact[1:], strict=True):
        text += f"{{{hole}}}{after}"
    example = "" if holes else " ".join(text.split())
    return Template(module, " ".join(text.split()), exact, example, line)


def _name(node: ast.expr) -> str:
    """Say in a word what an expression fills in."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        inner = node.slice
        return str(inner.value) if isinstance(inner, ast.Constant) else _name(node.value)
    if isinstance(node, ast.IfExp):
        ends = (node.body, node.orelse)
        if all(isinstance(end, ast.Constant) and isinstance(end.value, str) for end in ends):
            return "|".join(str(end.value) for end in ends)  # type: ignore[attr-defined]
        return _name(node.body)
    if isinstance(node, ast.Call):
        for argument in node.args:
            if (name := _name(argument)) != "…":
                return name
        return _name(node.func)
    if isinstance(node, ast.BinOp):
        return _name(node.left) if _name(node.left) != "…" else _name(node.right)
    if isinstance(node, ast.UnaryOp | ast.Starred):
        return _name(getattr(node, "operand", None) or node.value)  # type: ignore[attr-defined]
    return "…"


# The page


def written(listed: Iterable[Template]) -> str:
    """Return the page."""
    by_module: dict[str, list[Template]] = defaultdict(list)
    for one in listed:
        by_module[one.module].append(one)
    lines = [_HEAD]
    for module, own in by_module.items():
        lines.append(f"\n## {module}\n")
        for one in sorted(own, key=lambda one: not one.whole):
            lines.append(f"- `{one.text}`")
            if len(one.exact) > 1:
                lines.append(f"    - {_escaped(one.example)}" if one.example else "    - (none)")
    return "\n".join(lines) + "\n"


def read_page(text: str) -> dict[tuple[str, str], str]:
    """Return module and sentence -> example (empty where nothing is filled in)."""
    listed: dict[tuple[str, str], str] = {}
    module, last = "", ("", "")
    for line in text.splitlines():
        if line.startswith("## "):
            module = line[3:]
        elif line.startswith("- `"):
            last = (module, line[3:-1])
            listed[last] = ""
        elif line.startswith("    - "):
            listed[last] = re.sub(r"\\([\\`*_<>\[\]|#])", r"\1", line[6:])
    return listed


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text)


def fits(one: Template, example: str) -> bool:
    """Whether an example is one of the sentence, with every place filled in."""
    flat = tuple(re.sub(r"\s+", " ", piece) for piece in one.exact)
    flat = (flat[0].lstrip(), *flat[1:])
    flat = (*flat[:-1], flat[-1].rstrip())
    match = re.fullmatch("(.*?)".join(map(re.escape, flat)), example, re.DOTALL)
    return bool(match) and any(match.groups())


# Examples from running tests


class _Recorder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules so that each f-string notes what it became."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        folder = ROOT / "src" / "popscan"
        self.paths = {p for m in MODULES for p in folder.glob(m) if p.suffix == ".py"}
        self.folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Take over the modules whose sentences are listed."""
        if not name.startswith("popscan"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None or Path(spec.origin) not in self.paths:
            return None
        spec.loader = _Loader(name, spec.origin, self)
        return spec

    def note(self, module: str, text: str, value: str) -> str:
        """Keep what a sentence became."""
        if len(value) < 900 and not _BAD.search(value):
            self.seen[module, text].add(" ".join(value.split()))
        return value


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, recorder: _Recorder) -> None:
        super().__init__(name, path)
        self.recorder = recorder

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module anew, never from a cache."""
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        module = Path(self.path).relative_to(self.recorder.folder).as_posix()
        marked = ast.fix_missing_locations(_Marks(module).visit(tree))
        return compile(marked, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the function that notes."""
        module.__dict__["__noted__"] = self.recorder.note
        super().exec_module(module)


class _Marks(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self.module = module

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """Wrap an f-string that is a listed sentence; what is within one, too."""
        one = _template(self.module, node)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                part.value = self.visit(part.value)
        if one is None:
            return node
        return ast.copy_location(
            ast.Call(
                ast.Name("__noted__", ast.Load()),
                [ast.Constant(self.module), ast.Constant(one.text), node],
                [],
            ),
            node,
        )


def filled(
    found: Iterable[Template],
    page: dict[tuple[str, str], str],
    seen: dict[tuple[str, str], set[str]],
) -> list[Template]:
    """Give each sentence its example: that of the page while it fits, else the shortest seen."""
    done = []
    for one in found:
        key = (one.module, one.text)
        kept = page.get(key, "")
        if len(one.exact) > 1:
            new = sorted((t for t in seen.get(key, ()) if fits(one, t)), key=lambda t: (len(t), t))
            one.example = kept if fits(one, kept) else (new[0] if new else "")
        done.append(one)
    return done


_RECORDER: _Recorder | None = None


def pytest_load_initial_conftests() -> None:
    """Begin to note; before any of popscan is imported."""
    global _RECORDER
    late = [name for name in sys.modules if name.startswith("popscan.")]
    assert not late, f"imported before their sentences could be noted: {late[:3]}"
    _RECORDER = _Recorder()
    sys.meta_path.insert(0, _RECORDER)


def pytest_unconfigure() -> None:
    """Write the page."""
    assert _RECORDER is not None
    sys.meta_path.remove(_RECORDER)
    page = read_page(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    done = filled(templates(), page, _RECORDER.seen)
    PAGE.write_text(written(done), encoding="utf-8")
    lacking = [f"{one.module}: {one.text}" for one in done if not one.example]
    print(f"\n{len(done)} sentences, {len(lacking)} without an example", *lacking, sep="\n")
