"""The one dictionary of names for people: of columns, checks, stages, outcomes and methods.

A machine name (``slice_shift_mm``) is what files and configs hold; people read its title and
unit. Titles stand in `TITLES` and in `popscan.protocol.Words.titles` of each protocol; a name made
of others (``check_X``, ``X_abs_error``, ``p_X_adj``) follows from its parts, any other from its
words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from markupsafe import Markup, escape

from popscan.protocols import every
from popscan.stages import STAGES

#: End of a column's name -> its unit; the longer ends first.
UNITS = {
    "_ml_s_m2": "mL/s/m²", "_per_s": "1/s",
    "_ml_m2": "mL/m²", "_g_m2": "g/m²", "_kg_m2": "kg/m²", "_l_min_m2": "L/min/m²",
    "_l_min": "L/min", "_ml_s": "mL/s", "_ml": "mL", "_pct": "%", "_bpm": "bpm", "_mm3": "mm³",
    "_mm": "mm", "_cm_s": "cm/s", "_cm2": "cm²", "_cm": "cm", "_kg": "kg", "_m2": "m²",
    "_years": "years", "_db": "dB", "_ms": "ms", "_mb": "MB", "_nats": "nats", "_kb": "kB",
    "_g": "g",
}  # fmt: skip

#: Machine name -> title, with its unit in brackets where it has one. In sentences a title begins
#: in lower case unless it is an abbreviation.
TITLES: Mapping[str, str] = {
    # subjects
    "unit": "Subject", "sub": "Participant", "ses": "Session", "n_units": "Subjects",
    "field_strength_t": "Field strength (T)", "n_frames": "Frames", "n_slices": "Slices",
    "images_left_out": "Images left out", "age_years": "Age (years)", "age_band": "Age band",
    "bmi_class": "BMI class",
    "bsa_m2": "Body surface area (m²)", "bmi_kg_m2": "Body mass index (kg/m²)",
    "sex x race": "Sex × race",
    # stages
    "simulate": "Simulation", "ingest": "Ingestion", "reconstruct": "Reconstruction",
    "segment": "Segmentation", "score": "Agreement with references", "qc": "Quality control",
    "biomarkers": "Biomarkers", "rca": "Reverse classification accuracy",
    "rca_references": "Reference cases of RCA", "rca_validity": "Validity of RCA",
    "atlas_map": "Registration to the atlas", "atlas_prepare": "Preparation for the atlas",
    "atlas_reduce": "Averaging of the atlas", "collect": "Collection of tables",
    "associate": "Associations", "fairness": "Fairness audit", "report": "Report",
    "visibility": "Visibility of attributes", "visibility_features": "Features for visibility",
    "visibility_maps": "Visibility maps", "atlas": "Atlas", "experiment": "Experiment",
    "variants": "Comparison of reconstructions", "stopping": "Length of scans",
    "scan_seconds": "Seconds of scan per slice",
    "lines_found_pct": "Lines of k-space in the wrong phase",
    # methods
    "cg_sense": "CG-SENSE", "zero_filled": "Zero-filled", "mann_whitney": "Mann-Whitney test",
    # statistics
    "n": "n", "p": "p", "q": "q", "r": "r", "sd": "SD", "se": "Standard error",
    "p_adj": "p, adjusted", "p_change": "p of the change", "p_kruskal": "p (Kruskal-Wallis)",
    "mae": "Mean absolute error", "n_covered": "Covered", "auc": "AUC",
    "n_low": "n with a low Dice",
    "n_groups": "Groups", "n_too_few": "Groups too small", "n_other": "n of the other",
    "n_group": "n of the group", "n_adjusted": "n, adjusted", "n_reference": "n of the reference",
    "max_gap": "Largest gap", "max_gap_by_chance": "Largest gap by chance alone",
    "sd_groups": "SD of the groups", "sd_groups_by_chance": "SD of the groups by chance alone",
    "ser": "Skewed error ratio", "equity_scaled": "Equity-scaled mean",
    "cliffs_delta": "Cliff's delta", "hedges_g": "Hedges' g", "partial_r": "Partial r",
    "gap_error": "Error of the gap", "true_gap": "True gap", "predicted_gap": "Predicted gap",
    "loa_low": "Lower limit of agreement", "loa_high": "Upper limit of agreement",
    "half_width": "Half-width", "auc_adjusted": "AUC, adjusted",
    "auc_confounders": "AUC of the confounders alone", "median_gap": "Gap of medians",
    "expected_dice_lowest": "Expected Dice, lowest frame",
    "expected_dice_low": "Expected Dice, low", "icc": "ICC",
    "ood_score": "Out-of-distribution score", "flip_risk": "Risk of a wrong structure",
    "seen_in_training": "Seen in training", "interval_level": "Level of the intervals",
    # outcomes of every study
    "not_analysed": "Not analysed", "qc_fail": "Failed QC", "qc_not_pass": "Flagged by QC",
    "qc_failed": "Failed at quality control", "dice": "Dice", "dice_mean": "Mean Dice",
    "predicted_dice": "Predicted Dice", "expected_dice": "Expected Dice",
    "nrmse": "NRMSE", "psnr_db": "PSNR (dB)", "ssim": "SSIM",
    "atlas_distance_mm": "Distance to the atlas (mm)",
    "atlas_dice_mean": "Mean Dice with the atlas",
    "mean_effect_pct": "Mean effect (% per unit)",
    "atlas_own_distance_mm": "Distance to the own group's mean anatomy (mm)",
    "atlas_others_distance_mm": "Distance to other groups' mean anatomy (mm)",
    "n_components_removed": "Pieces removed", "not_applicable": "Not applicable",
    "not_assessed": "Not assessed",
    # reason codes that read badly as they are
    "nan_values": "Values that are NaN or infinite",
}  # fmt: skip
_CAPITALS = (
    "bsa", "bmi", "qc", "snr", "cnr", "psnr", "ssim", "nrmse", "hfen", "hd95", "msd", "id", "mri",
    "cmr", "auc", "rr", "fov", "rca", "sd", "ci", "icc",
)  # fmt: skip
_PLAIN_WORDS = {"label", "labels", "large", "last", "late", "range", "rate", "ratio", "race", "raw"}


class Name(NamedTuple):
    """What people read for a machine name: ``Name("Weight", "kg")``."""

    title: str
    unit: str = ""

    def full(self) -> str:
        """Return the title with its unit in brackets."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def inside(self) -> str:
        """Return the title as it stands within a sentence."""
        first = self.title.split(" ")[0]
        plain = first[1:].replace("-", "").islower() and first not in ("Dice", "Cliff's", "Hedges'")
        return self.title[:1].lower() + self.title[1:] if plain else self.title


@cache
def titles() -> Mapping[str, str]:
    """Return the whole dictionary: popscan's and every protocol's."""
    own = dict(TITLES)
    for protocol in every():
        own |= protocol.words.titles
    return own


@cache
def structures() -> Mapping[str, str]:
    """Return structure -> its title, of all protocols."""
    return {one.name: one.title for protocol in every() for one in protocol.labels.structures}


def _below(text: str) -> str:
    return Name(text).inside()


_MADE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Name | None]], ...] = (
    (re.compile(r"check_(.+)"), lambda m: Name(f"Check: {name_of(m[1]).inside()}")),
    (re.compile(r"(\w+)_failed"), lambda m: _failed(m[1])),
    (re.compile(r"(dice_mean|.+_abs_error)_by_(.+)"), lambda m: _by(m[1], m[2])),
    (re.compile(r"(.+)_abs_error"), lambda m: _of(m[1], "absolute error of ")),
    (re.compile(r"(.+)_error"), lambda m: _of(m[1], "error of ")),
    (re.compile(r"p_(.+)_adj"), lambda m: Name(f"p of {name_of(m[1]).inside()}, adjusted")),
    (re.compile(r"p_(.+)"), lambda m: Name(f"p of {name_of(m[1]).inside()}")),
    (re.compile(r"(.+?)(?:_ci)?_(low|high)((?:_[a-z0-9]+)*)"), lambda m: _end(m)),
    (re.compile(r"(.+)_harmonised((?:_[a-z0-9]+)*)"), lambda m: _harmonised(m[1] + m[2])),
    (re.compile(r"(.+)_covered"), lambda m: Name(f"Interval coverage of {name_of(m[1]).inside()}")),
    (re.compile(r"(.+)_whole"), lambda m: _whole(m[1])),
    (re.compile(r"(\w+)_missed"), lambda m: _structure(m[1], "{} missed")),
    (re.compile(r"mean_(entropy|information)_(\w+)"),
     lambda m: _structure(m[2], f"Mean {m[1]}, {{}}")),
    (re.compile(r"(dice|hd95_mm|msd_mm|expected_dice|predicted_dice|flip_risk|atlas_dice)_(\w+)"),
     lambda m: _structure(m[2], name_of(m[1]).title + ", {}", name_of(m[1]).unit)),
)  # fmt: skip


def _failed(stage: str) -> Name | None:
    return Name(f"Failed at {_below(titles().get(stage, stage))}") if stage in STAGES else None


def _of(column: str, what: str) -> Name:
    name = name_of(column)
    return Name(f"{what[:1].upper()}{what[1:]}{name.inside()}", name.unit)


def _by(measure: str, variant: str) -> Name:
    name = name_of(measure)
    return Name(f"{name.title}, by {name_of(variant).inside()}", name.unit)


def _end(match: re.Match[str]) -> Name | None:
    name = name_of(match[1] + match[3])
    side = {"low": "lower", "high": "upper"}[match[2]]
    return Name(f"{name.title}, {side} limit", name.unit)


def _whole(column: str) -> Name:
    name = name_of(column)
    return Name(f"{name.title}, whole image", name.unit)


def _harmonised(column: str) -> Name:
    name = name_of(column)
    return Name(f"{name.title}, harmonised", name.unit)


def _structure(name: str, form: str, unit: str = "") -> Name | None:
    title = structures().get(name)
    return Name(form.format(title), unit) if title else None


def name_of(machine: str) -> Name:
    """Return title and unit of a machine name; it need not be known.

    Examples
    --------
    >>> name_of("weight_kg"), name_of("p_gap_error_adj").title, name_of("check_snr").title
    (Name(title='Weight', unit='kg'), 'p of error of the gap, adjusted', 'Check: SNR')
    """
    return _name(machine)


@cache
def _name(machine: str) -> Name:
    known = titles().get(machine)
    if known is not None:
        title, _, unit = known.removesuffix(")").partition(" (") if known[-1:] == ")" else (
            known, "", "")  # fmt: skip
        return Name(title, unit)
    for pattern, make in _MADE:
        match = pattern.fullmatch(machine)
        name = make(match) if match else None
        if name is not None:
            return name
    return _by_words(machine)


@cache
def _acronyms() -> re.Pattern[str]:
    """Parts of names in capitals: of all protocols, since a column says not whose it is."""
    names = {*_CAPITALS, *(name for one in every() for name in one.words.capitals)}
    parts = sorted(re.escape(n.removesuffix("*")) + "[a-z]{0,4}" * n.endswith("*") for n in names)
    return re.compile("|".join(parts))


def _by_words(column: str) -> Name:
    suffix = next((s for s in UNITS if column.endswith(s)), "")
    stem = column[: len(column) - len(suffix)] or column
    inside = re.search(r"_(mm|ml|db|pct|g)(?=_)", column) if not suffix else None
    if inside:  # icv_ml_of_reference
        suffix = inside[0]
        stem = column[: inside.start()] + column[inside.end() :]
    parts = [
        part.upper() if _acronyms().fullmatch(part) and part not in _PLAIN_WORDS else part
        for part in re.split(r"[_\s]+", stem)
        if part
    ]
    if parts[:1] == ["n"] and len(parts) > 1:  # n_frames_measured
        parts = parts[1:]
    text = (" ".join(parts) or column).replace(" x ", " × ")
    return Name(text[:1].upper() + text[1:], UNITS.get(suffix, ""))


#: A machine name or a key of the config within a text: no part of a path or a BIDS name.
_MACHINE = re.compile(
    r"(?<![\w./:@-])(?:[a-z]+\.(?=[a-z]*_))?[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w/@-]|\.\w)"
)


def is_known(machine: str) -> bool:
    """Whether a name is one of popscan's, a protocol's, or carries a unit."""
    if machine in titles() or machine in STAGES or machine in _described():
        return True
    if any(machine.endswith(suffix) for suffix in UNITS):
        return True
    return any((match := pattern.fullmatch(machine)) and make(match) for pattern, make in _MADE)


@cache
def _described() -> frozenset[str]:
    """Names of all checks and biomarkers of the protocols."""
    from popscan.protocol import load

    names: set[str] = set()
    for protocol in every():
        for where in (protocol.quality.checks, protocol.biomarkers.dictionary):
            names |= set(load(where)) if where else set()
    return frozenset(names)


def readable(text: str) -> Markup:
    """Return a text as HTML in which machine names are titles, the names themselves on hover.

    What looks like a machine name and is not in the dictionary is set as code.
    """
    if "_" not in text:
        return escape(text)
    parts, end = [], 0
    for match in _MACHINE.finditer(text):
        parts.append(escape(text[end : match.start()]))
        machine, end = match[0], match.end()
        if not is_known(machine):
            parts.append(Markup("<code>{}</code>").format(machine))
            continue
        name = name_of(machine)
        alone = machine == text.strip()
        starts = not text[: match.start()].strip() or text[: match.start()].endswith(". ")
        words = name.full() if alone else name.title if starts else name.inside()
        parts.append(Markup('<span class="nm" title="{}">{}</span>').format(machine, words))
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def plain(text: str) -> str:
    """Return a text with titles in place of the machine names that are known."""
    if "_" not in text:
        return text

    def words(match: re.Match[str]) -> str:
        if not is_known(match[0]):
            return match[0]
        name = name_of(match[0])
        return name.full() if match[0] == text.strip() else name.inside()

    return _MACHINE.sub(words, text)


#: A text of a drawing that may hold machine names.
_DRAWN = re.compile(r">([^<>]*_[^<>]*)</(text|tspan)>")


def readable_svg(markup: Markup | None) -> Markup:
    """Return a drawing whose texts hold titles in place of machine names."""
    if markup is None:
        return Markup("")
    if "_" not in markup:
        return markup
    texts = re.compile(r">([^<>]*_[^<>]*)</(text|tspan)>")
    return Markup(
        texts.sub(lambda m: f">{escape(plain(Markup(m[1]).unescape()))}</{m[2]}>", markup)
    )
