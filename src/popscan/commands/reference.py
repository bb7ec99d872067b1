"""``config/README.md`` and pages of ``docs/``, written from definitions: all is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import get_args

from pydantic import BaseModel

from popscan.config import AuditedTable, Config, TableConfig
from popscan.config.reconstruct import Variant
from popscan.config.section import ColumnName, Limits
from popscan.config.segment import Segment
from popscan.config.stages import Biomarkers

_HEAD = """# Configuration reference

Written by `popscan schema` from the one definition in `src/popscan/config`; a test compares the
two. Unknown keys are errors. `popscan check --configfile FILE` names every problem at once.

On the command line `subjects` can be given (`snakemake --config subjects=sub-0001,sub-0007 ...`);
everything else belongs into a file. A second file after the first changes single keys: `snakemake
--configfile my.yaml more.yaml ...`. `popscan check` and `popscan plan` read one file.

Configs that come with popscan:

| file | study |
|---|---|
| `demo.yaml` | 24 simulated subjects, from k-space (the default) |
| `brain.yaml` | T1-weighted brains in BIDS, references of DLMUSE where there are any |
| `t1_map.yaml` | T1 maps of the heart in BIDS: raw images or ready-made maps, with regions |
| `flow_2d.yaml` | 2D phase-contrast flow in BIDS: magnitude, phase, regions of the vessels |
| `brain_demo.yaml` | 12 digital brains, from images to the report (docs/brain.md) |
| `long_axis_demo.yaml` | 12 digital hearts, short axis and long axis (docs/long_axis.md) |
| `acdc.yaml` | patients of the ACDC challenge: short-axis cine NIfTI with expert labels |
| `dicom.yaml` | a folder of DICOM files per subject |
| `ukb.yaml` | UK Biobank's bulk zips and a field table (docs/ukb.md) |
| `bids.yaml` | BIDS-like NIfTI with participants.tsv |
| `experiments/imbalance_demo.yaml` | trainings on unbalanced data, small (docs/experiments.md) |
| `experiments/imbalance_cluster.yaml` | the same at the size of the papers, for a cluster |
| `experiments/brain_imbalance.yaml` | the same question of brains, by structure (docs/brain.md) |
| `experiments/brain_imbalance_cluster.yaml` | at the size of the paper, for a cluster |
| `experiments/brain_anomaly.yaml` | whom a normative model of healthy brains flags wrongly |
| `experiments/brain_anomaly_cluster.yaml` | the same, larger, for a cluster |
| `experiments/brain_shortcut.yaml` | whether a network sees the site, and where |
| `experiments/brain_shortcut_cluster.yaml` | shortcuts of a classifier of dementia, for a cluster |
| `tables/ixi.yaml` | `popscan audit` of a table without images (docs/fairness.md) |

In `acdc.yaml`, `brain.yaml`, `t1_map.yaml`, `flow_2d.yaml`, `dicom.yaml`, `ukb.yaml` and
`bids.yaml` set `source.root` to your data.

"""


_QC_HEAD = """# QC checks

Every check has a value, a threshold, a unit and a verdict: `pass`, `review`, `fail`, or
`not_assessed` where it does not apply (a volume curve of two frames). A subject's verdict is the
worst of its checks. `fail` excludes the subject from the study's analyses; it stays in every table,
with its verdict. Limits are changed in the config (`qc.thresholds: {name: {review: .., fail: ..}}`)
and verdicts are overridden by a person in a TSV (`qc.overrides`) with the columns `participant_id`
(with its `sub-`), `session_id` (with its `ses-`, where there are visits), `verdict`, `reason`,
`name` and, if you like, `date`. Neither redoes a segmentation.

Written from the definitions by `popscan schema`; a test compares the two.

"""


_BIOMARKERS_HEAD = """# Biomarkers

How the columns of `tables/biomarkers` are defined (stage `biomarkers`, method `cine_sax`). Written
from the definitions by `popscan schema`; a test compares the two.

- **Volumes** are sums of discs: area of the labels times slice distance, so that gaps between
  slices are filled. No slice is interpolated at base or apex: what is labelled counts.
- **Papillary muscles and trabeculae** count as what they are labelled as. The shipped model gives
  them to the cavity, as its training labels do.
- **Mass** is the volume of the myocardium times {density:g} g/mL.
- **End-diastole and end-systole** are the frames that the source names so (ACDC, files `_ED` and
  `_ES`). Else they are the largest and smallest LV volume of the curve, smoothed over the cycle by
  a Gaussian of {share:g} of its length; curves of fewer than {frames} frames are not smoothed.
  Smoothing only chooses the frame: volumes are those of its labels. The RV is read at the LV's
  frames.
- **Body surface area** is Mosteller's, the root of height in cm times weight in kg / 3600.
- **Function over the cycle** (`*_peak_*`, `*_filling_*`, `*_diastasis*`): see
  [function.md](function.md).
- **Wall, mass and cavity by AHA segment** (`wall_*_aha*`, `mass_aha*`, `cavity_*`): see
  [wall.md](wall.md).
- **Undefined is empty (NaN)**, never 0: an absent structure, an unknown height, a single frame that
  unnamed.

| column | unit | meaning | source |
|---|---|---|---|
"""

_PARITY_HEAD = """
# UK Biobank's fields

The 82 fields of UK Biobank's category 157, which are the columns of ukbb_cardiac's tables (Bai et
al. 2020), and the columns of popscan that correspond. `pytest tests/biomarkers/test_parity.py`
compares those of `biomarkers` with an independent computation; strain is compared with the digital
heart's own (`tests/protocols/cine_strain`).

| field | UK Biobank | popscan | remark |
|---|---|---|---|
"""

_BIOMARKERS_TAIL = """
Intervals, where the model is calibrated (docs/segmentation.md):

| column | unit | meaning |
|---|---|---|
"""

_MOTION_TAIL = """
Table `motion`, of the optional stage of that name ([motion.md](motion.md)):

| column | unit | meaning |
|---|---|---|
"""


def qc_reference() -> str:
    """Return the text of ``docs/qc.md``."""
    from popscan.protocols.cine_sax.qc.documentation import documentation

    return _QC_HEAD + documentation().rstrip("\n") + "\n"


def biomarkers_reference() -> str:
    """Return the text of ``docs/biomarkers.md``."""
    from popscan.protocols.cine_sax.biomarkers.full import ALL as DICTIONARY
    from popscan.protocols.cine_sax.biomarkers.intervals import INTERVAL_DICTIONARY
    from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML
    from popscan.protocols.cine_sax.strain.dictionary import DICTIONARY as MOTION
    from popscan.protocols.cine_sax.volumes import MIN_SMOOTHED_FRAMES, PHASE_SMOOTHING_SHARE

    head = _BIOMARKERS_HEAD.format(
        density=MYOCARDIAL_DENSITY_G_ML, share=PHASE_SMOOTHING_SHARE, frames=MIN_SMOOTHED_FRAMES
    )
    sources = list(dict.fromkeys(column.source for column in DICTIONARY.values()))
    measured = [
        f"| `{name}` | {column.unit} | {column.meaning} | {sources.index(column.source) + 1} |\n"
        for name, column in DICTIONARY.items()
    ]
    cited = [f"{number}. {source}\n" for number, source in enumerate(sources, start=1)]
    intervals, motion = (
        [f"| `{name}` | {column.unit} | {column.meaning} |\n" for name, column in columns.items()]
        for columns in (INTERVAL_DICTIONARY, MOTION)
    )
    parts = [head, *measured, "\nSources:\n\n", *cited, _BIOMARKERS_TAIL, *intervals]
    return "".join([*parts, _MOTION_TAIL, *motion, _parity()])


def _parity() -> str:
    """Return the table of UK Biobank's fields."""
    from popscan.protocols.cine_sax.parity import FIELDS

    rows = [
        f"| {one.number} | {one.title} | "
        + (f"`{one.column}`" + ("" if one.table == "biomarkers" else f" (`{one.table}`)"))
        * bool(one.column)
        + f" | {one.reason} |\n"
        for one in FIELDS
    ]
    return _PARITY_HEAD + "".join(rows)


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
        meaning = (field.description or "") + (_known_methods(section) if key == "method" else "")
        meaning = meaning.replace("|", "\\|")
        default = "(needed)" if field.is_required() else _default(field.default)
        lines.append(f"| `{key}` | {kind} | {default} | {meaning} |\n")
    lines.append("\n")
    for key, field in section.model_fields.items():
        for part in _sections_in(field.annotation):
            by_name = "" if part is field.annotation else ".NAME"
            lines.append("#" + _section(f"{name}.{key}{by_name}", part))
    return "".join(lines)


def _sections_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the sections that a key holds by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


def _known_methods(section: type[BaseModel]) -> str:
    """Say which methods a stage has, and which options where the config gives them."""
    from popscan import recon
    from popscan.methods import option_names, resolve
    from popscan.protocols import DEFAULT, get_protocol

    tables: dict[type[BaseModel], Mapping[str, str]] = {
        Variant: recon.METHODS,
        Segment: get_protocol(DEFAULT).segmentation.methods,
        Biomarkers: get_protocol(DEFAULT).biomarkers.methods,
    }
    known = []
    for name in sorted(tables[section]):
        options = option_names(resolve(tables[section], name, "")) if section is Variant else ()
        known.append(f"{name} (options: {', '.join(options)})" if options else name)
    return " Known: " + "; ".join(known) + "."


def _default(value: object) -> str:
    def plain(item: object) -> object:
        return item.model_dump() if isinstance(item, BaseModel) else str(item)

    return f"`{json.dumps(value, default=plain)}`"


def _type_name(annotation: object) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if "[" in str(annotation):
        text = str(annotation)
    text = (
        text.replace(str(Limits), "[low, high]")
        .replace(str(ColumnName), "column")
        .replace("typing.", "")
    )
    # A validator shows the address of its function, which differs in every process.
    text = re.sub(r"Annotated\[(.+?), \w+Validator\(func=<.+?>\)\]", r"\1", text)
    return re.sub(r"popscan\.config\.\w+\.", "", text).replace("|", "\\|")
