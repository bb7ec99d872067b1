"""What a study knows of its subjects, in one place: attributes, verdicts, who is analysed.

Attributes are decoded (`fairness.codings`), have one spelling and no impossible values, and come
with derived columns (age_band, bmi_class, body size); verdicts are those of QC with the manual
overrides. Stages that work on the whole study ask here and read neither journals nor raw cells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from popscan.config import Associate, Atlas, Cohort, Fairness, Harmonise, Source
from popscan.fairness.groups import MISSING, labels
from popscan.nested import mapping_at
from popscan.protocols import protocol_of
from popscan.records import Status
from popscan.stages import SUBJECT_STAGES
from popscan.stats.harmonise import Harmonised
from popscan.stats.residual import Slope
from popscan.store import Store
from popscan.study.accounted import ACCOUNTS
from popscan.study.adjusted import reference_units, size_slopes, with_adjusted
from popscan.study.cohort import cohort_attributes, first_visits
from popscan.study.harmonised import harmonised_biomarkers, with_harmonised
from popscan.study.overrides import final_ledger, final_verdicts
from popscan.study.participants import participants_table
from popscan.study.tables import read_records, read_table, study_shards, values_table


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study's subjects as every stage sees them.

    Attributes
    ----------
    root
        ``results/<study>``.
    options
        Config sections as given to a stage; `fairness` and `cohort` decide what attributes mean.
    participants
        One row per subject: the cohort table and what ingest learnt of the scan.
    verdicts
        One row per subject that QC looked at, with the final ``verdict``.
    """

    root: Path
    options: Mapping[str, object]
    participants: pd.DataFrame
    verdicts: pd.DataFrame

    @classmethod
    def of_tables(cls, root: Path, options: Mapping[str, object]) -> Study:
        """Read a study whose tables were collected."""
        return cls(
            root=root,
            options=options,
            participants=read_table(root, "participants"),
            verdicts=read_table(root, "qc"),
        )

    @classmethod
    def of_manifests(cls, store: Store, options: Mapping[str, object]) -> Study:
        """Read a study before its tables are collected: ingest and qc must be through.

        Parameters
        ----------
        store
            The study's store.
        options
            Besides `fairness` and `cohort` the sections `source` and `qc`.
        """
        shards = study_shards(store.root)
        simulated = Source.of(options).kind == "simulated"
        ingest = values_table(read_records(store, "ingest", shards))
        return cls(
            root=store.root,
            options=options,
            participants=participants_table(store.root, shards, ingest, simulated=simulated),
            verdicts=final_verdicts(values_table(read_records(store, "qc", shards)), options),
        )

    def table(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        coded: Sequence[str] = (),
        units: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return one of the study's tables; an empty one if it was not written.

        Parameters
        ----------
        name
            The table.
        columns, coded, units
            As for `popscan.study.tables.read_table`: what is read of a table that may be very long.
        """
        return read_table(self.root, name, columns=columns, coded=coded, units=units)

    @property
    def units(self) -> list[str]:
        """Every subject of the study."""
        return [str(unit) for unit in self.participants["unit"]]

    @cached_property
    def _attributes(self) -> tuple[pd.DataFrame, list[str]]:
        return cohort_attributes(
            self.participants,
            fairness=Fairness.of(self.options, or_defaults=True),
            cohort=Cohort.of(self.options, or_defaults=True),
        )

    @property
    def attributes(self) -> pd.DataFrame:
        """What is known of every subject, by unit."""
        return self._attributes[0]

    @property
    def notes(self) -> list[str]:
        """Sentences on values that were blanked or read otherwise, and on scans under two names."""
        return [*self._attributes[1], *self._copies]

    @cached_property
    def _copies(self) -> list[str]:
        from popscan.stats.copies import same_rows_notes

        measured = self._measured
        return same_rows_notes(measured, list(map(str, measured))) if "unit" in measured else []

    def groups(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the group of every subject by each attribute, as text.

        Parameters
        ----------
        names
            Attributes; those that the study lacks are left out.

        Returns
        -------
        DataFrame
            Indexed by unit; empty text where nothing was recorded.
        """
        known = [name for name in names if name in self.attributes]
        columns = {name: labels(self.attributes[name]).replace(MISSING, "") for name in known}
        return pd.DataFrame(columns, index=self.attributes.index, columns=known)

    @cached_property
    def excluded(self) -> frozenset[str]:
        """Subjects that QC excludes, overrides counted."""
        if "verdict" not in self.verdicts:
            return frozenset()
        return frozenset(self.verdicts.loc[self.verdicts["verdict"] == "fail", "unit"])

    @cached_property
    def _measured(self) -> pd.DataFrame:
        measured = self.table("biomarkers")
        if "analysed" not in measured:
            return measured
        analysed = measured[measured["analysed"].astype(bool)].reset_index(drop=True)
        return self._with_motion(analysed)

    def _with_motion(self, measured: pd.DataFrame) -> pd.DataFrame:
        """Add columns of the table `motion` that an analysis names; NaN without a track."""
        associate = Associate.of(self.options, or_defaults=True).outcomes
        audit = Fairness.of(self.options, or_defaults=True).biomarkers
        atlas = Atlas.of(self.options, or_defaults=True)
        maps = [*atlas.biomarkers, *atlas.effects]
        named = [n for n in dict.fromkeys([*associate, *audit, *maps]) if n not in measured]
        motion = protocol_of(self.options).motion
        known = [name for name in named if motion is not None and name in motion.columns()]
        if not known:
            return measured
        moved = self.table("motion")
        for name in known:
            values = moved.set_index("unit")[name] if name in moved else pd.Series(dtype=float)
            measured[name] = values.reindex(measured["unit"]).to_numpy(dtype=float)
        return measured

    @property
    def reference_group(self) -> dict[str, str]:
        """Column -> value of those whose slopes adjust for size; empty for all."""
        return dict(Cohort.of(self.options, or_defaults=True).reference_group)

    @cached_property
    def size_slopes(self) -> dict[str, Slope | None]:
        """Line of every adjusted biomarker on the size, in the reference group."""
        adjustments = protocol_of(self.options).adjustments
        if not adjustments:
            return {}
        reference = reference_units(self.analysed_once, self.reference_group)
        return size_slopes(self._measured, adjustments, reference)

    @cached_property
    def _sized(self) -> pd.DataFrame:
        return with_adjusted(
            self._measured, protocol_of(self.options).adjustments, self.size_slopes
        )

    @cached_property
    def harmonisation(self) -> Harmonised | None:
        """What was done to harmonise biomarkers between sites; None where that is not asked for."""
        section = Harmonise.of(self.options, or_defaults=True)
        if not section.by or "unit" not in self._sized:
            return None
        fairness = Fairness.of(self.options, or_defaults=True)
        associate = Associate.of(self.options, or_defaults=True)
        return harmonised_biomarkers(
            self._sized,
            self.attributes,
            section,
            outcomes=list(dict.fromkeys([*associate.outcomes, *fairness.biomarkers])),
            audited=fairness.attributes,
            roles=fairness.roles,
            once=list(map(str, self.analysed_once.index)),
        )

    @cached_property
    def biomarkers(self) -> pd.DataFrame:
        """Biomarkers of the subjects that are analysed, with adjusted and harmonised columns."""
        return with_harmonised(self._sized, self.harmonisation)

    @cached_property
    def analysed(self) -> frozenset[str]:
        """Subjects in the study's analyses: measured, and not excluded by QC."""
        return frozenset(self._measured["unit"]) if "unit" in self._measured else frozenset()

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Statuses as they count in the end: manual overrides over automatic verdicts."""
        return final_ledger(self.table("ledger"), self.verdicts)

    @cached_property
    def analysed_once(self) -> pd.DataFrame:
        """Attributes of those who are analysed, the first analysed visit of each subject."""
        people = self.attributes
        once, _ = first_visits(people[people.index.isin(self.analysed)])
        return once

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """What became of every subject at stages beside the ledger's, as rows of a ledger."""
        parts = []
        for table, (stage, section) in ACCOUNTS.items():
            rows = self.table(table)
            if mapping_at(self.options, section).get("enabled") and "status" in rows:
                parts.append(rows.assign(stage=stage))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @cached_property
    def lost(self) -> pd.DataFrame:
        """Where subjects that are not analysed were lost: status, reason, message by unit."""
        columns = ["status", "reason", "message"]
        ledger = self.ledger
        if ledger.empty:
            return pd.DataFrame(columns=columns)
        kept = ledger[~ledger["unit"].isin(self.analysed) & (ledger["status"] != str(Status.OK))]
        side = [name for name, info in SUBJECT_STAGES.items() if info.side]
        kept = kept[(kept["status"] != str(Status.NOT_APPLICABLE)) & ~kept["stage"].isin(side)]
        first = kept.drop_duplicates("unit").set_index("unit")
        return first[columns]
