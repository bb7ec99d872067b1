"""What every section of the config has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from popscan.cells import column_name
from popscan.records import PopscanError

#: Column of a table, by the name that the reader of cohort tables gives it, whatever its case.
ColumnName = Annotated[str, AfterValidator(column_name)]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
