"""UK Biobank's data fields: how columns are named, and which fields are which attributes.

Codings are those of UK Biobank's public Showcase (biobank.ndph.ox.ac.uk/ukb/coding.cgi?id=...). A
table may hold their codes, or the words that an export has put in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from popscan.fairness.attributes import UKB_21000, UKB_21000_DETAILED

#: First and second imaging visit.
IMAGING_INSTANCES = (2, 3)
#: Bulk fields of the heart's images, by their names.
BULK_TITLES = MappingProxyType(
    {
        20207: "scout", 20208: "long axis", 20209: "short axis", 20210: "aortic distensibility",
        20211: "cine tagging", 20212: "left ventricular outflow tract", 20213: "blood flow",
        20214: "T1 maps (shMOLLI)",
    }
)  # fmt: skip

_ENTITY = re.compile(r"participant\.")
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        r"(\d{1,6})-(\d{1,2})\.(\d{1,4})",  # csv of ukbconv
        r"(?:\w+_)?f\.?(\d{1,6})[._](\d{1,2})[._](\d{1,4})",  # R of ukbconv, ukbtools
        r"x(\d{1,6})\.(\d{1,2})\.(\d{1,4})",  # the csv, as R's read.csv renames it
        r"(?:n|s|ts)_(\d{1,6})_(\d{1,2})_(\d{1,4})",  # Stata
        r"p(\d{1,6})(?:_i(\d{1,2}))?(?:_a(\d{1,4}))?",  # Research Analysis Platform
    )
)
_TITLED = re.compile(r"(.+?)(?: \| instance (\d{1,2}))?(?: \| array (\d{1,4}))?", re.ASCII)
_EID = frozenset({"eid", "f.eid", "n_eid", "participant id"})


class FieldColumn(NamedTuple):
    """What a column of a field table holds."""

    field: int
    instance: int
    array: int


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute of a study, and where UK Biobank holds it.

    Attributes
    ----------
    name
        Its column in the study.
    fields
        Field numbers; the first that says something counts.
    fixed
        Whether it belongs to the participant: the first instance that says something counts. Else
        it belongs to the visit, and other instances are not looked at.
    coding
        Code -> word; "" means not recorded. Empty for numbers.
    arrays
        What is made of repeated measurements.
    """

    name: str
    fields: tuple[int, ...]
    fixed: bool = False
    coding: Mapping[str, str] = field(default_factory=dict)
    arrays: Literal["mean", "first"] = "first"


_NONE: Mapping[str, str] = MappingProxyType({"-1": "", "-3": "", "-818": "", "-121": ""})
_SEX = MappingProxyType({"0": "Female", "1": "Male"})
_CENTRE = MappingProxyType(
    {
        "10003": "Stockport (pilot)", "11001": "Manchester", "11002": "Oxford", "11003": "Cardiff",
        "11004": "Glasgow", "11005": "Edinburgh", "11006": "Stoke", "11007": "Reading",
        "11008": "Bury", "11009": "Newcastle", "11010": "Leeds", "11011": "Bristol",
        "11012": "Barts", "11013": "Nottingham", "11014": "Sheffield", "11016": "Liverpool",
        "11017": "Middlesborough", "11018": "Hounslow", "11020": "Croydon", "11021": "Birmingham",
        "11022": "Swansea", "11023": "Wrexham", "11024": "Cheadle (revisit)",
        "11025": "Cheadle (imaging)", "11026": "Reading (imaging)",
        "11027": "Newcastle (imaging)", "11028": "Bristol (imaging)",
    }
)  # fmt: skip
_STATUS = MappingProxyType({"0": "Never", "1": "Previous", "2": "Current", **_NONE})
_YES_NO = MappingProxyType({"0": "No", "1": "Yes", **_NONE})
_INCOME = MappingProxyType(
    {
        "1": "Less than 18,000", "2": "18,000 to 30,999", "3": "31,000 to 51,999",
        "4": "52,000 to 100,000", "5": "Greater than 100,000", **_NONE,
    }
)  # fmt: skip
#: Categories of the first level, by code and by name of either level.
_ETHNICITY = MappingProxyType(
    {
        **{code: "" if code.startswith("-") else name for code, name in UKB_21000.items()},
        **{
            name: UKB_21000[code]
            for code, name in UKB_21000_DETAILED.items()
            if not code.startswith("-")
        },
        **_NONE,
    }
)

ATTRIBUTES = (
    Attribute(name="sex", fields=(31,), fixed=True, coding=_SEX),
    Attribute(name="age_years", fields=(21003,)),
    Attribute(name="ethnic_background", fields=(21000,), fixed=True, coding=_ETHNICITY),
    Attribute(name="site", fields=(54,), coding=_CENTRE),
    Attribute(name="height_cm", fields=(12144, 50)),
    Attribute(name="weight_kg", fields=(12143, 21002)),
    Attribute(name="bmi_kg_m2", fields=(21001,)),
    Attribute(name="sbp_mmhg", fields=(4080, 93), arrays="mean"),
    Attribute(name="dbp_mmhg", fields=(4079, 94), arrays="mean"),
    Attribute(name="pulse_bpm", fields=(102, 95), arrays="mean"),
    Attribute(name="smoking", fields=(20116,), coding=_STATUS),
    Attribute(name="alcohol", fields=(20117,), coding=_STATUS),
    Attribute(name="diabetes", fields=(2443,), coding=_YES_NO),
    Attribute(name="household_income", fields=(738,), coding=_INCOME),
    Attribute(name="townsend_index", fields=(22189, 189), fixed=True),
)

#: Titles that an export may have as names of columns -> field.
_TITLES: Mapping[str, int] = MappingProxyType(
    {
        "sex": 31, "age when attended assessment centre": 21003, "ethnic background": 21000,
        "uk biobank assessment centre": 54, "standing height": 50, "height": 12144,
        "weight": 21002, "weight (pre-imaging)": 12143, "body mass index (bmi)": 21001,
        "systolic blood pressure, automated reading": 4080,
        "systolic blood pressure, manual reading": 93,
        "diastolic blood pressure, automated reading": 4079,
        "diastolic blood pressure, manual reading": 94, "pulse rate, automated reading": 102,
        "smoking status": 20116, "alcohol drinker status": 20117,
        "diabetes diagnosed by doctor": 2443,
        "average total household income before tax": 738,
        "townsend deprivation index at recruitment": 22189,
    }
)  # fmt: skip
#: Words that an export puts in place of codes for an answer that is none.
_NO_ANSWER = frozenset({"do not know", "prefer not to answer", "not recorded", "na"})


def plain_name(column: str) -> str:
    """Return a column's name in small letters, without the platform's entity before it."""
    return _ENTITY.sub("", " ".join(column.split()).lower(), count=1)


def is_eid(column: str) -> bool:
    """Whether a column holds the participants' identifiers.

    Examples
    --------
    >>> is_eid("participant.eid"), is_eid("f.eid"), is_eid("participant_id")
    (True, True, False)
    """
    return plain_name(column) in _EID


def field_column(column: str) -> FieldColumn | None:
    """Read the name of a column; None where it is none of a field.

    Examples
    --------
    >>> tuple(field_column("21003-2.0")), tuple(field_column("participant.p21003_i2"))
    ((21003, 2, 0), (21003, 2, 0))
    >>> tuple(field_column("f.4080.2.1")), tuple(field_column("p31"))
    ((4080, 2, 1), (31, 0, 0))
    >>> tuple(field_column("Smoking status | Instance 2")), field_column("age")
    ((20116, 2, 0), None)
    """
    name = plain_name(column)
    for form in _FORMS:
        if match := form.fullmatch(name):
            return FieldColumn(*(int(part or 0) for part in match.groups()))
    match = _TITLED.fullmatch(name)
    if match and match[1] in _TITLES:
        return FieldColumn(_TITLES[match[1]], int(match[2] or 0), int(match[3] or 0))
    return None


def decoded(text: str, coding: Mapping[str, str]) -> str:
    """Return the word of a code; words stay, and what is no answer becomes empty.

    Examples
    --------
    >>> decoded("1001", _ETHNICITY), decoded("British", _ETHNICITY), decoded("-3", _ETHNICITY)
    ('White', 'White', '')
    >>> decoded("0.0", _SEX), decoded("Male", _SEX), decoded("Prefer not to answer", _SEX)
    ('Female', 'Male', '')
    """
    plain = text.strip().removesuffix(".0")
    if plain.lower() in _NO_ANSWER:
        return ""
    return coding.get(plain, plain) if coding else plain
