"""Per-subject stages of other packages, by the entry point group ``popscan.stages``.

``contrast = "my_package:STAGE"`` in a package's entry points offers its `Stage`. It runs where the
config enables it (``stages: {contrast: {enabled: true}}``) and only then, so that installing a
package changes no study.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points

from popscan.stages.description import EVERY_SUBJECT_STAGE, Stage

#: Group of entry points.
GROUP = "popscan.stages"


class _Unusable(Exception):
    """Why a stage cannot be used (`popscan.records` would load NumPy)."""


def foreign_stages(
    own: Collection[str], *, toolkits: Collection[str] = ()
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Return the stages that other packages offer.

    Parameters
    ----------
    own
        Names of popscan's own stages.

    Returns
    -------
    stages : tuple of Stage
        Those that can be used, in alphabetical order of their names.
    problems : dict
        Name -> why one cannot; a config that names it is refused with this sentence.
    """
    stages: list[Stage] = []
    problems: dict[str, str] = {}
    known = set(own)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            stages.append(_checked(entry, known, toolkits))
            known.add(entry.name)
        except _Unusable as error:
            problems[entry.name] = str(error)
    return tuple(stages), problems


def _checked(entry: EntryPoint, known: Collection[str], toolkits: Collection[str]) -> Stage:
    where = f"stage {entry.name!r} ({entry.value})"
    # A foreign package can fail in any manner when it is imported; whose fault it is, is stated.
    try:
        stage = entry.load()
    except Exception as error:
        raise _Unusable(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(stage, Stage):
        raise _Unusable(f"{where} is a {type(stage).__name__}; a Stage is expected")
    if stage.name != entry.name:
        raise _Unusable(f"{where} calls itself {stage.name!r}; the same name is expected")
    if stage.name in known:
        raise _Unusable(f"{where}: there is a stage of this name already")
    if stage.per != "subject" or not stage.task:
        raise _Unusable(f"{where}: only stages per subject, with a task, can be added")
    if not (stage.optional and stage.options):
        raise _Unusable(
            f"{where}: optional=True and options with a key 'enabled' are expected: installing a "
            "package changes no study"
        )
    if unknown := [name for name in stage.reads if name not in {*known, EVERY_SUBJECT_STAGE}]:
        raise _Unusable(f"{where}: reads {', '.join(unknown)}; there is no such stage")
    if unknown := [name for name in stage.uses if name not in {*known, *toolkits}]:
        raise _Unusable(f"{where}: uses {', '.join(unknown)}; there is no such stage or toolkit")
    return stage
