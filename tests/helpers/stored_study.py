"""A study of two subjects whose stages write a few words, for tests of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popscan.plan import read_shard
from popscan.records import Outcome, Record, Subject
from popscan.run import run_shard
from popscan.stages.plan.job import plan_study
from popscan.store import Store
from popscan.study.storage_choice import Choice
from popscan.task import Task

SHARD = "00000"
STAGES = ["ingest", "segment", "qc", "biomarkers"]
FILES = {"ingest": ["cine.nii.gz", "cine.json"], "segment": ["dseg.nii.gz", "desc-e_unc.nii.gz"]}
SUBJECTS = ["sub-1", "sub-2"]


def image(sub: str) -> str:
    return f"derivatives/{sub}/ingest/{sub}_cine.nii.gz"


class Study:
    """Two subjects (or other visits), four stages that write a few words.

    QC reviews those that are `flagged`. Files end with `words`, as if the raw data had changed.
    """

    def __init__(self, root: Path, visits: Sequence[str] = SUBJECTS) -> None:
        for visit in visits:
            (root / "raw" / visit).mkdir(parents=True)
            name = f"{visit.replace('/', '_')}_acq-sax_cine.nii.gz"
            (root / "raw" / visit / name).write_text("no image")
        source = {"kind": "bids", "root": str(root / "raw")}
        plan_study(
            root / "study", {"study": {"seed": 1}, "source": source, "cohort": {}, "plan": {}}
        )
        self.store = Store(root / "study")
        self.planned = read_shard(self.store.root, SHARD)
        self.flagged: set[str] = set()
        self.words = ""
        self.keep("labels")

    def keep(self, keep: str, *, archives: bool = False) -> None:
        Choice(keep=keep, archives=archives, stages=STAGES).write(self.store.root)

    def run(self, stage: str, *, only: frozenset[str] = frozenset()) -> list[str]:
        """Run a stage; return the subjects that it worked on."""
        done = []

        def work(subject: Subject, _: object) -> Outcome:
            done.append(subject.unit)
            names = FILES.get(stage, [])
            files = {f"{subject.unit}_{name}": f"{stage} {name}{self.words}" for name in names}
            verdict = "review" if subject.unit in self.flagged else "pass"
            return Outcome(files=files, values={"verdict": verdict} if stage == "qc" else {})

        task = Task(
            stage=stage, version="1", options={"flagged": sorted(self.flagged)},
            reads=lambda subject: {}, load=lambda subject: None, work=work,
            write=lambda path, text: path.write_text(text),
        )  # fmt: skip
        self.store.manifest_path(stage, SHARD).unlink(missing_ok=True)  # as Snakemake does
        run_shard(self.store, task, SHARD, self.planned, only=only)
        return done

    def records(self, stage: str) -> dict[str, Record]:
        return self.store.journal(stage, SHARD).read().records

    def stored(self) -> set[str]:
        root = self.store.root
        return {str(p.relative_to(root)) for p in root.glob("derivatives/**/*") if p.is_file()}
