"""``config/README.md`` and ``docs/qc.md``, written from definitions: nothing is undocumented."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from popscan.config import AuditedTable, Config, TableConfig

_HEAD = """# Configuration reference

Written by `popscan schema` from the one definition in `src/popscan/config`; a test compares the
two. Unknown keys are errors. `popscan check --configfile FILE` names every problem at once; single
keys can be set on the command line, e.g. `snakemake --config subjects=sub-0001,sub-0007`.

Configs that come with popscan:

| file | study |
|---|---|
| `demo.yaml` | 24 simulated subjects, from k-space (the default) |
| `acdc.yaml` | patients of the ACDC challenge: short-axis cine NIfTI with expert labels |
| `dicom.yaml` | a folder of DICOM files per subject |
| `bids.yaml` | BIDS-like NIfTI with participants.tsv |

"""


_QC_HEAD = """# QC checks

Every check has a value, a threshold, a unit and a verdict: `pass`, `review`, `fail`, or
`not_assessed` where it does not apply (a volume curve of two frames). A subject's verdict is the
worst of its checks. `fail` excludes the subject from the study's analyses; it stays in every table,
with its verdict. Limits are changed in the config (`qc.thresholds: {name: {review: .., fail: ..}}`)
and verdicts are overridden by a person in a TSV (`qc.overrides`) with the columns
`participant_id`, `verdict`, `reason`, `name`. Neither redoes a segmentation.

Written from the definitions by `popscan schema`; a test compares the two.

"""


def qc_reference() -> str:
    """Return the text of ``docs/qc.md``."""
    from popscan.qc import documentation

    return _QC_HEAD + documentation().rstrip("\n") + "\n"


def config_reference() -> str:
    """Return the text of ``config/README.md``."""
    parts = [_HEAD]
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(_section(name, section))
        else:
            parts.append(
                f"## `{name}`\n\n{field.description} Default: {_default(field.default)}.\n\n"
            )
    shared = ", ".join(f"`{name}`" for name in TableConfig.model_fields if name != "table")
    parts.append(
        "# Config of `popscan audit`\n\nFor a table of people and outcomes without images "
        f"(docs/fairness.md): the sections {shared} as above, and `table`. Example: "
        "`tables/ixi.yaml`.\n\n"
    )
    parts.append(_section("table", AuditedTable))
    return "".join(parts).rstrip("\n") + "\n"


def _section(name: str, section: type[BaseModel]) -> str:
    lines = [f"## `{name}`\n\n{section.__doc__}\n\n", "| key | type | default | meaning |\n"]
    lines.append("|---|---|---|---|\n")
    for key, field in section.model_fields.items():
        kind = _type_name(field.annotation)
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{key}` | {kind} | {_default(field.default)} | {meaning} |\n")
    return "".join(lines) + "\n"


def _default(value: Any) -> str:
    def plain(item: Any) -> Any:
        return item.model_dump() if isinstance(item, BaseModel) else str(item)

    return f"`{json.dumps(value, default=plain)}`"


def _type_name(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if "[" in str(annotation):
        text = str(annotation)
    for old, new in (("typing.", ""), ("popscan.config.", "")):
        text = text.replace(old, new)
    return text.replace("|", "\\|")
