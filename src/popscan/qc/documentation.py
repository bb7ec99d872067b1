"""The page that lists the checks."""

from __future__ import annotations

from collections.abc import Mapping

from popscan.qc.model import Spec


def checks_table(specs: Mapping[str, Spec]) -> str:
    """Return checks as a Markdown table: name, what they judge, unit, meaning, limits, source."""
    lines = [
        "| check | judges | unit | measures | review | fail | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, spec in specs.items():
        review, fail = spec.limit_words("review"), spec.limit_words("fail")
        lines.append(
            f"| `{name}` | {spec.kind} | {spec.unit} | {spec.meaning} | {review} | {fail} "
            f"| {spec.source} |"
        )
    return "\n".join(lines) + "\n"
