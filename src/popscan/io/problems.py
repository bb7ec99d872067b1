"""What is wrong with a table: where, what was found, what was expected."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a table, for a person to mend.

    Attributes
    ----------
    file, line, column
        Where; line 1 is the header, 0 the file as a whole, column "" the whole line.
    found, expected
        What stands there and what should.
    subject
        The subject concerned, where it is known and safe to name; else empty.
    count
        Cells that it is about.
    """

    file: str
    line: int
    column: str
    found: str
    expected: str
    subject: str = ""
    count: int = 1

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f", line {self.line}"
        if self.column:
            place += f", column {self.column}"
        return f"{place}: found {self.found}; expected {self.expected}"


@dataclass
class Table:
    """A table while it is being read: its name, what is wrong with it, and what was changed."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, column: str, text: str) -> None:
        """Add a sentence on a column that was read, in a way that has to be known."""
        self.notes.append(f"{column}: {text}.")

    def add_note(
        self,
        line: int,
        column: str,
        found: str,
        expected: str,
        subject: str = "",
        count: int = 1,
    ) -> None:
        """Add a problem."""
        self.problems.append(
            Problem(
                file=self.file,
                line=line,
                column=column,
                found=found,
                expected=expected,
                subject=subject,
                count=count,
            )
        )
