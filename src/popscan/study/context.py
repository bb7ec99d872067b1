"""What every stage's task needs: the study's store, the records above, names of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from popscan import config
from popscan.archive import ArchiveError
from popscan.cells import EMPTY
from popscan.nested import mapping_at
from popscan.plan import Planned
from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import Record, Status, Subject, SubjectError
from popscan.standing import FileStamps
from popscan.store import Store
from popscan.study.copies import Copies
from popscan.study.files import FileNames

if TYPE_CHECKING:
    from popscan.config import Section

S = TypeVar("S", bound="Section")


@dataclass(frozen=True, kw_only=True)
class ShardContext:
    """One stage's surroundings in one shard.

    Attributes
    ----------
    store, shard
        The study's store and the shard's name.
    options
        Config sections given to the stage, as plain data.
    planned
        Subjects of the shard by unit.
    threads
        Threads that the stage's numerics may use.
    restore
        Stage, subject, name -> gives files of its record back that the study does not store
        (`popscan.stages.restoring`); None where nothing in the study may change: what is in an
        archive is read from a copy then, and the rest has to be named as removed.
    """

    store: Store
    shard: str
    options: Mapping[str, object]
    planned: Mapping[str, Planned] = field(default_factory=dict)
    threads: int = 1
    restore: Callable[[str, Subject, str], None] | None = None

    def section(self, section: type[S]) -> S:
        """Return a config section that the stage was given."""
        return section.of(self.options)

    def own(self, stage: str, section: type[S]) -> S:
        """Return the options of a stage that has no section in the config (`Stage.options`)."""
        return section.model_validate(mapping_at(self.options, "stages", stage))

    @property
    def protocol(self) -> Protocol:
        """The study's protocol."""
        return get_protocol(str(self.options.get("protocol", DEFAULT)))

    @cached_property
    def names(self) -> FileNames:
        """Names of the files that stages write."""
        return FileNames(self.protocol)

    @property
    def version(self) -> str:
        """Version of the stage's code, as its rule gave it."""
        return str(self.options["version"])

    @property
    def seed(self) -> int:
        """Seed of the study."""
        return config.study_seed(self.options)  # loaded here: few stages draw anything

    @cached_property
    def _records(self) -> dict[str, Mapping[str, Record]]:
        return {}

    @cached_property
    def _stamps(self) -> dict[str, FileStamps]:
        return {}

    @cached_property
    def _standing(self) -> dict[tuple[str, str], bool]:
        return {}

    def facts(self, subject: Subject) -> dict[str, object]:
        """Return what is known of a subject: filled cells of its row, else the source's."""
        filled = {k: v for k, v in subject.row.items() if v.strip().lower() not in EMPTY}
        return {**self.record("ingest", subject).values, **filled}

    def record(self, stage: str, subject: Subject) -> Record:
        """Record of another stage of the same subject.

        Raises
        ------
        SubjectError
            If there is none (reason ``upstream_missing``).
        """
        records = self._records.get(stage)
        if records is None:
            records = self._records[stage] = self.store.journal(stage, self.shard).read().records
        record = records.get(subject.unit)
        if record is None:
            raise SubjectError("upstream_missing", f"{stage} has no record of this subject yet")
        return record

    def digest(self, stage: str, subject: Subject) -> str:
        """Digest of another stage's output; it enters the fingerprint of what reads it."""
        return self.record(stage, subject).digest

    def path(self, stage: str, subject: Subject, name: str) -> Path:
        """Path of a file that a stage wrote, by its name; made again where it is not stored.

        Without `restore` a file from an archive is a copy, which goes with this object.

        Raises
        ------
        SubjectError
            If that stage's record does not list it (reason ``upstream_missing``), a file of the
            record is gone or not what was written (``upstream_lost``), or it was removed as the
            config says, and nobody makes it again here (``removed_by_storage``) or could
            (``not_restored``).
        """
        folder = self.store.stage_folder(stage, subject.folder)
        path = folder / name
        output = str(path.relative_to(self.store.root))
        if output not in self.record(stage, subject).outputs:
            raise SubjectError("upstream_missing", f"{stage} left no {name}")
        if not self.is_stored(stage, subject, name) or not self._stands(stage, subject):
            # Known from the start of this job: another one may have removed it, or made it again.
            self._look_again(stage, subject)
        if not self.is_stored(stage, subject, name):
            if self.restore is None:
                return self._unpacked(stage, subject, path)
            self.restore(stage, subject, output)
            self._look_again(stage, subject)
        if not self._stands(stage, subject):
            raise SubjectError(
                "upstream_lost",
                f"{stage}: {path} or a file beside it is gone, or was changed since",
            )
        return path

    def is_stored(self, stage: str, subject: Subject, name: str) -> bool:
        """Whether a file that a stage wrote lies in its folder: not removed, and not packed."""
        path = self.store.stage_folder(stage, subject.folder) / name
        return str(path.relative_to(self.store.root)) not in self.record(stage, subject).removed

    def _unpacked(self, stage: str, subject: Subject, path: Path) -> Path:
        """Return a copy of a file that is in an archive, beside those that were packed with it."""
        record = self.record(stage, subject)
        if str(path.relative_to(self.store.root)) not in record.packed:
            raise SubjectError("removed_by_storage", _removed_message(stage, subject, path))
        try:
            return self._copies.of(record) / path.name
        except ArchiveError as error:
            raise SubjectError("upstream_lost", f"{stage}: {error}") from error

    @cached_property
    def _copies(self) -> Copies:
        return Copies(self.store.root, self.shard)

    def _look_again(self, stage: str, subject: Subject) -> None:
        self._records.pop(stage, None)
        self._stamps.pop(stage, None)
        self._standing.pop((stage, subject.unit), None)

    def _stands(self, stage: str, subject: Subject) -> bool:
        """Whether the files of a stage's record are those that it wrote; asked once."""
        key = (stage, subject.unit)
        stands = self._standing.get(key)
        if stands is None:
            stamps = self._stamps.get(stage)
            if stamps is None:
                stamps = self._stamps[stage] = FileStamps.of(self.store, stage, self.shard)
            stands = stamps.stand(self.store, self.record(stage, subject))
            self._standing[key] = stands
        return stands

    def has(self, stage: str, subject: Subject, name: str) -> bool:
        """Whether a stage put out a file of this name, stored or removed since."""
        path = self.store.stage_folder(stage, subject.folder) / name
        return str(path.relative_to(self.store.root)) in self.record(stage, subject).outputs

    def image_stage(self, subject: Subject) -> str:
        """Stage whose images later stages read: reconstruct in k-space studies, else ingest."""
        done = self.record("reconstruct", subject).status is Status.OK
        return "reconstruct" if done else "ingest"


def _removed_message(stage: str, subject: Subject, path: Path) -> str:
    return (
        f"{stage}: {path} was removed by storage (config section storage); "
        f"'popscan storage --restore {subject.unit}' makes it again"
    )
