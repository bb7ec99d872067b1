"""What every section of the config has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from popscan.cells import column_name

#: Column of a table, by the name that the reader of cohort tables gives it, whatever its case.
ColumnName = Annotated[str, AfterValidator(column_name)]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
