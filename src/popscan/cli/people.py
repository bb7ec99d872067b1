"""Commands that people type on a study: check, status, rerun, withdraw and others."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from popscan.cli.adding import Commands
from popscan.cli.studies import (
    add_study,
    find_parts,
    find_study,
    is_study,
    lines_in,
    names_in,
)
from popscan.installation import config_file
from popscan.names import matching_units
from popscan.records import PopscanError
from popscan.registry import read_registry
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store
from popscan.study.storage_counts import storage_line


def add(commands: Commands) -> None:
    """Add the people's commands to the parser."""
    check = commands.add_parser(
        "check",
        help="config, cohort table, models, disk, a sample of the scans: every problem",
    )
    check.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help="an unknown folder tree: cluster and name its series (docs/sorting.md)",
    )
    check.add_argument("--configfile", type=Path, default=Path("demo"), help="default: demo")
    check.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE")
    check.add_argument(
        "--deep", action="store_true", help="open the scans of all subjects, not of about 20"
    )
    check.add_argument("--out", type=Path, help="with a folder: where its tables are written")
    check.add_argument(
        "--no-paths", action="store_true", help="with --out: write no paths, only clusters.tsv"
    )
    check.add_argument("--seed", type=int, default=0, help="with a folder: of its large samples")
    check.set_defaults(call=_check)

    status = commands.add_parser("status", help="progress and failures of each stage, with reasons")
    add_study(status)
    status.set_defaults(call=_status)

    compare = commands.add_parser(
        "compare", help="what changed between two studies or runs, and for whom"
    )
    compare.add_argument("a", type=Path, metavar="A", help="results/<study>")
    compare.add_argument(
        "b", type=Path, metavar="B", help="results/<study>, possibly of another run"
    )
    compare.set_defaults(call=_compare)

    page = commands.add_parser("page", help="write a page of each of some subjects")
    page.add_argument(
        "names", nargs="+", metavar="SUBJECT [STUDY]", help="subjects or visits, and the study"
    )
    page.set_defaults(call=_page)

    review = commands.add_parser(
        "review", help="write a page for judging subjects by eye; it saves qc.overrides"
    )
    add_study(review)
    review.add_argument("--subjects", help="comma-separated, or a file with one per line")
    review.add_argument(
        "--verdict",
        nargs="+",
        choices=["pass", "review", "fail"],
        default=["fail", "review"],
        help="without --subjects: verdicts that are judged, in this order (default: fail review)",
    )
    review.add_argument("--limit", type=int, default=300, help="most subjects (default: 300)")
    review.add_argument("--out", type=Path, help="file; default: report/review.html of the study")
    review.set_defaults(call=_review)

    verify = commands.add_parser(
        "verify", help="find files and records that are lost or changed; snakemake makes them again"
    )
    add_study(verify)
    verify.add_argument("--deep", action="store_true", help="read every file, not only its size")
    verify.set_defaults(call=_verify)

    rerun = commands.add_parser("rerun", help="mark subjects; snakemake then redoes them")
    add_study(rerun)
    who = rerun.add_mutually_exclusive_group(required=True)
    who.add_argument("--subjects", help="comma-separated, or a file with one per line")
    who.add_argument(
        "--failed", action="store_true", help="all subjects whose record says failed or is missing"
    )
    who.add_argument("--all", action="store_true", help="all subjects")
    where = rerun.add_mutually_exclusive_group()
    where.add_argument("--stage", choices=list(SUBJECT_STAGES), help="only this stage")
    where.add_argument(
        "--from", dest="first", choices=list(SUBJECT_STAGES), help="this stage and later ones"
    )
    rerun.set_defaults(call=_rerun)

    leave = commands.add_parser(
        "withdraw", help="remove subjects from a study: images, records, pages and rows"
    )
    leave.add_argument(
        "names", nargs="*", metavar="[STUDY] IDS", help="study's folder, then subjects or visits"
    )
    leave.add_argument("--file", type=Path, help="file with one subject or visit per line")
    leave.add_argument(
        "--undo", action="store_true", help="let them be planned again by the next snakemake"
    )
    leave.set_defaults(call=_withdraw)

    new = commands.add_parser(
        "new-protocol",
        help="write a package with a working protocol (docs/protocols.md)",
    )
    new.add_argument("name", help="name of the protocol: lower-case letters, digits and _")
    new.add_argument("--folder", type=Path, default=Path(), help="where its folder is made")
    new.set_defaults(call=_new_protocol)

    schema = commands.add_parser("schema", help="export the schema and references of config and QC")
    schema.add_argument("--root", type=Path, default=Path())
    schema.set_defaults(call=_schema)


def _check(arguments: argparse.Namespace) -> int:
    if arguments.folder is not None:
        return _check_tree(arguments)
    if arguments.out is not None or arguments.no_paths:
        raise PopscanError("--out and --no-paths go with a folder: popscan check FOLDER --out DIR")
    from popscan.commands.check import check_study

    given = arguments.configfile
    path = given if given.suffix else config_file(given)
    problems, notes = check_study(path, arguments.config, deep=arguments.deep)
    for note in notes:
        print(note)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} found")
    return 2 if problems else 0


def _check_tree(arguments: argparse.Namespace) -> int:
    from popscan.commands.sort_tree import as_text, sort_tree

    found = sort_tree(
        arguments.folder, out=arguments.out, paths=not arguments.no_paths, seed=arguments.seed
    )
    print(as_text(found))
    if not found.n_series:
        print("no series of images was found", file=sys.stderr)
        return 2
    return 0


def _status(arguments: argparse.Namespace) -> None:
    from popscan.commands.status import format_status, study_status

    for study in find_parts(arguments.study):
        print(study)
        print(format_status(study_status(Store(study))))
        if line := storage_line(study):
            print(line)


def _compare(arguments: argparse.Namespace) -> None:
    from popscan.commands.compare import as_text, compare_studies
    from popscan.opened import open_study

    print(as_text(compare_studies(open_study(arguments.a), open_study(arguments.b))))


def _page(arguments: argparse.Namespace) -> None:
    from popscan.commands.pages import write_pages
    from popscan.opened import open_study

    words = list(arguments.names)
    given = next((word for word in (words[-1], words[0]) if is_study(Path(word))), None)
    if given is not None:
        words.remove(given)
    if not words:
        raise PopscanError("no subject was named")
    study = open_study(find_study(Path(given) if given is not None else None))
    for path in write_pages(study, [name for word in words for name in word.split(",") if name]):
        print(path)


def _review(arguments: argparse.Namespace) -> None:
    from popscan.commands.pages import write_review
    from popscan.opened import open_study

    if arguments.limit < 1:
        raise PopscanError(f"--limit {arguments.limit}: at least 1 is expected")
    study = open_study(find_study(arguments.study))
    path, shown, left = write_review(
        study,
        names=names_in(arguments.subjects) if arguments.subjects else (),
        verdicts=arguments.verdict,
        limit=arguments.limit,
        out=arguments.out,
    )
    print(
        f"{path}: {shown} subjects" + (f"; {left} more than --limit are left out" if left else "")
    )
    print(
        "Open it in a browser. It saves overrides.tsv: put it beside the config, set "
        "'qc: {overrides: overrides.tsv}' and run the study again."
    )


def _verify(arguments: argparse.Namespace) -> int:
    from popscan.commands.verify import verify_study

    parts = find_parts(arguments.study)
    damaged = 0
    for study in parts:
        outputs = verify_study(Store(study), deep=arguments.deep)
        damaged += len(outputs)
        where = f"{study.name}: " if len(parts) > 1 else ""
        for output, files in outputs.items():
            listed = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
            print(f"{where}{output}: lost or changed: {listed}")
        if line := storage_line(study):
            print(f"{where}{line}")
    if not damaged:
        print("all files are as they were written")
        return 0
    print("the same snakemake command makes them again")
    return 1


def _rerun(arguments: argparse.Namespace) -> None:
    from popscan.commands.rerun import mark_rerun, stages_from

    stages = list(SUBJECT_STAGES)
    if arguments.stage:
        stages = [arguments.stage]
    elif arguments.first:
        stages = stages_from(arguments.first)
    subjects = names_in(arguments.subjects) if arguments.subjects else None
    parts, marked = find_parts(arguments.study), 0
    for study, here in _where(parts, subjects).items():
        counts = mark_rerun(
            Store(study),
            subjects=here,
            failed=bool(arguments.failed),
            stages=stages,
        )
        where = f"{study.name}: " if len(parts) > 1 else ""
        for stage, count in counts.items():
            marked += count
            if count:
                print(f"{where}{stage}: {count} records will be redone")
    if not marked:
        print("nothing to redo")


def _where(parts: list[Path], names: list[str] | None) -> dict[Path, list[str] | None]:
    """Return the names that each protocol's part has; all parts where none are given."""
    if names is None or len(parts) == 1:
        return dict.fromkeys(parts, names)
    here = {}
    for part in parts:
        units = list(read_registry(part / "plan" / "registry.tsv"))
        here[part] = [name for name in names if matching_units([name], units)]
    unknown = [name for name in names if not any(name in known for known in here.values())]
    if unknown:
        raise PopscanError(f"not in the study: {', '.join(unknown[:5])}")
    return {part: known for part, known in here.items() if known}


def _withdraw(arguments: argparse.Namespace) -> None:
    from popscan.study.withdraw import take_back
    from popscan.study.withdraw_parts import withdraw_everywhere

    words = list(arguments.names)
    given = Path(words[0]) if words and is_study(Path(words[0])) else None
    parts = find_parts(given)
    names = [name for text in words[given is not None :] for name in text.split(",") if name]
    if arguments.file:
        try:
            names += lines_in(arguments.file)
        except (OSError, UnicodeDecodeError) as error:
            raise PopscanError(f"--file {arguments.file}: cannot be read ({error})") from error
    if not names:
        raise PopscanError("no subject was named: give IDS or --file")
    if arguments.undo:
        for study in parts:
            print(f"{study}: {take_back(study, names)} visits may be planned again")
        return
    for study, done in withdraw_everywhere(parts, names).items():
        print(f"{study}: {done.sentence()}")
    print(
        "The study remembers them as keyed digests (plan/withdrawn.json). Raw data, copies, "
        "backups and .snakemake/ are not touched: docs/withdrawal.md"
    )


def _new_protocol(arguments: argparse.Namespace) -> None:
    from popscan.commands.new_protocol import new_protocol

    print(new_protocol(arguments.name, arguments.folder))


def _schema(arguments: argparse.Namespace) -> None:
    from popscan.commands.reference import biomarkers_reference, config_reference, qc_reference
    from popscan.config import json_schema

    schema = arguments.root / "workflow" / "schemas" / "config.schema.json"
    schema.write_text(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n")
    (arguments.root / "config" / "README.md").write_text(config_reference())
    (arguments.root / "docs" / "qc.md").write_text(qc_reference())
    (arguments.root / "docs" / "biomarkers.md").write_text(biomarkers_reference())
