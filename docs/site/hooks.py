"""What the site adds to the pages of docs/: pages from elsewhere, commands, links between them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

#: File of the repository -> page of the site.
PAGES = {
    "README.md": "index.md",
    "config/README.md": "reference/config.md",
    "CHANGELOG.md": "reference/changelog.md",
    "CONTRIBUTING.md": "reference/contributing.md",
}
_CARDS = "resources/models/*/card.md"
_PYTHON = """# Python

```python
import popscan
study = popscan.open_study("results/demo")
```

::: popscan.opened

## Records

::: popscan.records

## Protocols

::: popscan.protocol
"""
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)]*)?(?=\))")


def pages(root: Path) -> dict[str, str]:
    """Return `PAGES` and a page for every shipped model."""
    cards = {
        card.relative_to(root).as_posix(): f"models/{card.parent.name}.md"
        for card in sorted(root.glob(_CARDS))
    }
    return {**PAGES, **cards}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/."""
    root = Path(config.config_file_path).parent
    for source, page in pages(root).items():
        text = _relinked((root / source).read_text(encoding="utf-8"), source, page, root)
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    files.append(File.generated(config, "reference/python.md", content=_PYTHON))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point the links of a page in docs/ to where the site has their targets."""
    here = page.file.src_uri
    if here in PAGES.values() or here.startswith(("reference/", "models/")):
        return markdown
    return _relinked(markdown, f"docs/{here}", here, Path(config.config_file_path).parent)


def _relinked(text: str, source: str, page: str, root: Path) -> str:
    """Rewrite relative links of a file at `source` for its place `page` on the site."""
    folder, up = (root / source).parent, "../" * page.count("/")

    def target(match: re.Match[str]) -> str:
        link, anchor = match.group(1), match.group(2) or ""
        if "://" in link or link.startswith("mailto:"):
            return match.group()
        path = (folder / link).resolve()
        try:
            name = path.relative_to(root).as_posix()
        except ValueError:
            return match.group()
        elsewhere = pages(root)
        if name in elsewhere:
            return up + elsewhere[name] + anchor
        if name.startswith("docs/"):
            return up + name.removeprefix("docs/") + anchor
        return up + "index.md" if path.exists() else match.group()

    return _LINK.sub(target, text)


def _commands() -> str:
    """Return the help of every command that people type."""
    from popscan.cli.main import parser

    top = parser()
    (commands,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    shown = [choice.dest for choice in commands._choices_actions]
    parts = ["# Commands\n"]
    for name in shown:
        command = commands.choices[name]
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
        parts.append(f"## popscan {name}\n\n```text\n{command.format_help().rstrip()}\n```\n")
    return "\n".join(parts)
