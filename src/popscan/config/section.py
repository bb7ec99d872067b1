"""What every section of the config has in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from popscan.cells import column_name
from popscan.records import PopscanError

#: Column of a table, by the name that the reader of cohort tables gives it, whatever its case.
ColumnName = Annotated[str, AfterValidator(column_name)]

T = TypeVar("T")


def _each_once(values: list[T]) -> list[T]:
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"{twice[0]} is there twice; each once is expected")
    return values


#: A list whose entries would count twice if they were there twice.
Distinct = Annotated[list[T], AfterValidator(_each_once)]


def _in_order(limits: list[float]) -> list[float]:
    low, high = limits
    if not low < high:
        raise ValueError(f"the smallest value {low:g} must lie below the largest {high:g}")
    return limits


#: Smallest and largest value of a column.
Limits = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_in_order)]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read.

    What YAML makes a truth value of (``yes``, ``on``) is no number, and a number is finite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields.get(str(info.field_name))
        if field and _is_truth_for_number(value, field.annotation):
            raise ValueError("a number is expected, not a truth value")
        return value

    @classmethod
    def key(cls) -> str:
        """Key of the section in the config: ``segment`` of `Segment`."""
        return cls.__name__.lower()

    @classmethod
    def of(cls, options: Mapping[str, object], *, or_defaults: bool = False) -> Self:
        """Return this section of what a stage was given.

        Parameters
        ----------
        options
            Key of a section -> what is given of it.
        or_defaults
            Whether the section may be absent, and is then as if nothing were given.

        Raises
        ------
        PopscanError
            If the section is absent: the stage's description does not name it.
        pydantic.ValidationError
            If what is given does not fit.
        """
        if cls.key() not in options and not or_defaults:
            raise PopscanError(
                f"config section {cls.key()!r} was not given; there are {sorted(options)}"
            )
        return cls.model_validate(options.get(cls.key(), {}))


def _is_truth_for_number(value: Any, annotation: Any) -> bool:
    """Whether there is a truth value where a number belongs, also in a list or mapping."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_truth_for_number(value, inner[0])
    if origin in (Union, UnionType):
        return all(_is_truth_for_number(value, one) for one in inner if one is not type(None))
    if origin is list and isinstance(value, list):
        return any(_is_truth_for_number(one, inner[0]) for one in value)
    if origin is dict and isinstance(value, dict):
        return any(_is_truth_for_number(one, inner[1]) for one in value.values())
    return isinstance(value, bool) and annotation in (int, float)
