"""Data dictionaries of the study's tables, as stages and the protocol declare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from popscan.columns import UNIT, Column
from popscan.protocol import Protocol, load
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError
from popscan.stages import tables


def of(
    table: str, protocol: Protocol | None = None, *, names: Iterable[str] = ()
) -> dict[str, Column]:
    """Return what the columns of a table mean.

    Parameters
    ----------
    table
        Its name.
    protocol
        The study's; by default the default protocol.
    names
        Columns of the table; those that its dictionary lacks are explained where their names come
        from the study (`Table.further`).

    Raises
    ------
    PopscanError
        If no stage declares the table.
    """
    declared = tables().get(table)
    if declared is None:
        raise PopscanError(f"table {table}: no stage declares it (Stage.tables)")
    loaded = load(declared.columns)
    made: Mapping[str, Column] = (
        loaded(protocol or get_protocol(DEFAULT)) if callable(loaded) else loaded
    )
    columns = {**(UNIT if declared.of != "job" else {}), **made}
    if declared.further:
        return {**dict.fromkeys(names, declared.further), **columns}
    return columns
