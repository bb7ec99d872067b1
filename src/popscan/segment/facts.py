"""What ``model.yaml`` of a bundle must say, checked key by key before anything is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from popscan.records import PopscanError
from popscan.yamlfile import problem_text, read_yaml, shown

FORMAT = 1
#: Label maps hold one byte per voxel; 0 is background.
_MOST_LABELS = 255

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Positive = Annotated[Finite, Field(gt=0)]
Count = Annotated[int, Field(ge=0, strict=True)]
Text = Annotated[str, Field(strict=True, max_length=200)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", strict=True)]
#: Log-odds added to a structure before the most likely label is taken.
LogOdds = Annotated[Finite, Field(ge=-3, le=3)]
Pair = Annotated[list[Finite], Field(min_length=2, max_length=2)]


class _Facts(BaseModel):
    """Keys that are not listed are notes: kept, and nothing depends on them."""

    model_config = ConfigDict(frozen=True)


class Member(_Facts):
    """One network of the ensemble."""

    architecture: Text
    arguments: dict[Text, Any]

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        channels = self.arguments.get("channels")
        if not (
            isinstance(channels, list)
            and 1 <= len(channels) <= 10
            and all(type(c) is int and 1 <= c <= 65536 for c in channels)
        ):
            raise ValueError(
                f"channels: 1 to 10 whole numbers from 1 to 65536 expected; found {shown(channels)}"
            )
        for key, value in self.arguments.items():
            if key != "channels" and not (type(value) in (int, bool) and 0 <= value <= 64):
                raise ValueError(
                    f"{key}: a whole number from 0 to 64, true or false is expected; "
                    f"found {shown(value)}"
                )
        return self


class Normalisation(_Facts):
    """Keyword arguments of `popscan.segment.preprocess.normalise`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_pct: Annotated[Finite, Field(ge=0, le=100)] = 1.0
    high_pct: Annotated[Finite, Field(ge=0, le=100)] = 99.0

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.low_pct < self.high_pct:
            raise ValueError("low_pct below high_pct is expected")
        return self


class TrainedOn(_Facts):
    """Salted hashes of the subjects of the training."""

    salt: Text
    sha256: list[Digest]


class Calibration(_Facts):
    """Temperatures of the probabilities."""

    temperature: Annotated[Finite, Field(gt=0, le=1000)] = 1.0
    temperature_flips: Annotated[Finite, Field(gt=0, le=1000)] = 1.0
    temperature_doubtful: Annotated[Finite, Field(gt=0, le=1000)] = 1.0
    doubt_limit: Annotated[Finite, Field(ge=0)] = 0.0


class Quantity(_Facts):
    """Errors of one quantity in the patients that the bundle was calibrated on."""

    errors: list[Finite]
    spreads: list[Annotated[Finite, Field(ge=0)]]


class Interval(_Facts):
    """Errors and spreads of one way of segmenting."""

    flips: Annotated[bool, Field(strict=True)] | Literal["doubtful"]
    dropout_samples: Count
    quantities: dict[Text, Quantity]


class Linear(_Facts):
    """A linear model of Dice."""

    intercept: Finite
    mean: list[Finite]
    sd: list[Positive]
    coefficients: list[Finite]


class ExpectedDice(_Facts):
    """Features and the models that see them."""

    features: list[Text]
    models: dict[Text, Linear]

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        for name, model in self.models.items():
            lengths = {len(self.features), len(model.mean), len(model.sd), len(model.coefficients)}
            if len(lengths) > 1:
                raise ValueError(
                    f"{name}: as many means, sd and coefficients as features "
                    f"({len(self.features)}) are expected"
                )
        return self


class Widening(_Facts):
    """How much wider intervals are on scans unlike the training's."""

    start: Annotated[Finite, Field(ge=0)]
    slope: Annotated[Finite, Field(ge=0)]


class ModelFacts(_Facts):
    """``model.yaml``."""

    format: Annotated[int, Field(strict=True)]
    name: Annotated[Text, Field(min_length=1)]
    members: Annotated[list[Member], Field(min_length=1, max_length=64)]
    labels: dict[Text, Annotated[int, Field(strict=True)]]
    spacing_mm: Annotated[Finite, Field(ge=0.05, le=50)]
    patch: Annotated[int, Field(strict=True, ge=8, le=8192)]
    normalisation: Normalisation
    input_range: dict[Text, Pair]
    weights_sha256: Digest
    training_sha256: Digest | None = None
    trained_on: TrainedOn
    training: dict[Text, Any]
    validation: dict[Text, Any]
    calibration: Calibration = Calibration()
    intervals: list[Interval] = []
    expected_dice: ExpectedDice | None = None
    widening: Widening | None = None
    decision: dict[Text, LogOdds] = {}

    @field_validator("labels")
    @classmethod
    def _codes(cls, labels: dict[str, int]) -> dict[str, int]:
        codes = sorted(labels.values())
        if not codes or codes != list(range(1, len(codes) + 1)) or len(codes) > _MOST_LABELS:
            raise ValueError(
                f"names with the codes 1, 2, ... (at most {_MOST_LABELS}), each once, are "
                f"expected; found {shown(labels)}"
            )
        return labels

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if unknown := sorted(set(self.decision) - set(self.labels)):
            raise ValueError(
                f"decision: structures of the model ({', '.join(self.labels)}) are expected; found "
                f"{shown(unknown)}"
            )
        return self


def read_facts(
    path: Path, labels: Mapping[str, int] | None = None
) -> tuple[ModelFacts, dict[str, Any]]:
    """Read ``model.yaml``.

    Parameters
    ----------
    path
        The file.
    labels
        Structures and codes that the model must have; None for whatever it has.

    Returns
    -------
    facts
        What the bundle is used by.
    about
        All that the file says.

    Raises
    ------
    PopscanError
        If it is not readable or a key is missing or wrong; the message names path, key, what was
        found and what is expected.
    """
    about = read_yaml(path)
    if not isinstance(about, dict):
        raise PopscanError(f"{path}: expected a mapping of keys to values; found {shown(about)}")
    required = [name for name, field in ModelFacts.model_fields.items() if field.is_required()]
    if missing := [key for key in required if key not in about]:
        raise PopscanError(f"{path}: lacks {', '.join(missing)}")
    if about["format"] != FORMAT or type(about["format"]) is not int:
        raise PopscanError(
            f"{path}: format: this popscan reads {FORMAT}; found format {shown(about['format'])}"
        )
    try:
        facts = ModelFacts.model_validate(about)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False)
        raise PopscanError(
            "; ".join(problem_text(i, where=str(path)) for i in items[:5])
        ) from error
    if labels is not None and facts.labels != (expected := dict(labels)):
        raise PopscanError(
            f"{path}: labels: popscan's are {expected}; found {shown(about['labels'])}"
        )
    for name, (low, high) in facts.input_range.items():
        if low > high:
            raise PopscanError(
                f"{path}: input_range.{name}: [lowest, highest] expected; found {[low, high]}"
            )
    return facts, about
