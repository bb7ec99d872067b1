"""``popscan check``: everything that would spoil a night on the cluster, reported at once.

Nothing is changed. Each problem names file, key and what was expected.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from popscan.commands.configfile import ConfigError, listed_once, load_what_fits, read_studies
from popscan.commands.stage_methods import motion_problems, stopping_problems
from popscan.commands.stage_options import stage_problems
from popscan.config import Config, protocol_problems
from popscan.names import name_list, resolve_units
from popscan.protocol import load as load_place
from popscan.protocols import get_protocol, known
from popscan.records import PopscanError
from popscan.study.columns import study_columns
from popscan.study.identity import check_before_run
from popscan.study.leaving import leaving_notes
from popscan.study.listing import Cohort, find_cohort, where


def check_study(
    configfile: Path, overrides: Sequence[str] = (), *, deep: bool = False
) -> tuple[list[str], list[str]]:
    """Check a study before it is run.

    Parameters
    ----------
    configfile
        The study's YAML file.
    overrides
        ``key=value`` as given to ``snakemake --config``.
    deep
        Open the scans of all subjects, not of a sample.

    Returns
    -------
    problems, notes : list of str
        What has to be mended (empty if nothing), and what was found to be well.
    """
    try:
        studies = read_studies(configfile, overrides)
    except ConfigError as error:
        return error.problems, []
    found = {name: _check_one(data, configfile, deep=deep) for name, data in studies.items()}
    problems, notes = ({name: both[i] for name, both in found.items()} for i in (0, 1))
    return listed_once(problems), listed_once(notes)


def _check_one(
    data: dict[str, object], configfile: Path, *, deep: bool
) -> tuple[list[str], list[str]]:
    """Check a study of one protocol, or one part of a study of several."""
    try:
        config, problems, left_out = load_what_fits(data, where=str(configfile))
    except ConfigError as error:
        return error.problems, []
    notes: list[str] = []
    problems += stage_problems(config.stages, where=str(configfile))
    parts = [_check_protocol, _check_methods, _check_model, _check_optional, _check_qc]
    parts += [_check_cohort, _check_disk]
    if config.experiment.attribute:
        from popscan.commands.check_experiment import check_experiment

        parts = [check_experiment, _check_disk]
        if config.source.kind != "simulated":
            parts.insert(0, _check_cohort)
    if "source" in {key.partition(".")[0] for key in left_out} and _check_cohort in parts:
        parts.remove(_check_cohort)  # a default source is nobody's
    found: list[str] = []
    for part in parts:
        try:
            part(config, found, notes, **({"deep": deep} if part is _check_cohort else {}))
        except PopscanError as error:
            found.append(f"{configfile}: {error}")
    # Of a key that cannot be read, its default was looked at.
    problems += [
        f"{configfile}: {line}" if _names_a_key(line) else line
        for line in found
        if not line.startswith(tuple(left_out))
    ]
    return problems, notes


def _subjects(n: int) -> str:
    return f"{n} subject" if n == 1 else f"{n} subjects"


def _names_a_key(line: str) -> bool:
    """Whether a problem begins with a key of the config, so that the file belongs before it."""
    section, dot, _ = line.partition(" ")[0].partition(".")
    return bool(dot) and section in Config.model_fields


def _check_protocol(config: Config, problems: list[str], notes: list[str]) -> None:
    """Say which protocols there are, load all of the study's, and check what it decides."""
    protocol = get_protocol(config.protocol)
    others = [f"{name} ({origin})" for name, origin in known().items() if name != config.protocol]
    also = f"; also there: {', '.join(others)}" if others else ""
    notes.append(f"protocol {protocol.name}: {protocol.title}{also}")
    for key, place in protocol.places().items():
        try:
            load_place(place)
        except PopscanError as error:
            problems.append(f"protocol {protocol.name}: {key}: {error}")
    problems += protocol_problems(config)


def _check_methods(config: Config, problems: list[str], notes: list[str]) -> None:
    from popscan import recon
    from popscan.methods import option_problems, resolve

    variants = config.reconstruct.variants
    if config.reconstruct.use not in variants:
        problems.append(
            f"reconstruct.use: {config.reconstruct.use!r} is no variant; "
            f"expected one of: {', '.join(sorted(variants))}"
        )
    for name, variant in variants.items():
        key = f"reconstruct.variants.{name}"
        try:
            function = resolve(recon.METHODS, variant.method, key)
        except PopscanError as error:
            problems.append(str(error))
            continue
        unfit = [f"{key}: {text}" for text in option_problems(function, variant.options)]
        problems += unfit
        if not unfit:
            try:
                recon.models_of(variant.method, variant.options)
            except PopscanError as error:
                problems.append(f"{key}: {error}")
    if config.reconstruct.device == "cuda":
        _require_gpu("reconstruct.device", problems)
    problems += [*motion_problems(config), *stopping_problems(config)]
    protocol = get_protocol(config.protocol)
    for table, name, key in (
        (protocol.segmentation.methods, config.segment.method, "segment.method"),
        (protocol.biomarkers.methods, config.biomarkers.method, "biomarkers.method"),
    ):
        if name not in table:
            known = ", ".join(sorted(table))
            problems.append(f"{key}: no such method: {name!r}; expected one of: {known}")


def _check_model(config: Config, problems: list[str], notes: list[str]) -> None:
    from popscan.segment import load_bundle
    from popscan.stages.segment.bundles import bundle_path, model_of, needs_bundle, no_bundle

    protocol = get_protocol(config.protocol)
    named = model_of(protocol, config.segment)
    if not named:
        if needs_bundle(protocol, config.segment.method):
            problems.append(no_bundle(config.segment.method))
            return
        notes.append("no model: the protocol segments without one")
        if config.segment.model:
            notes.append(
                f"segment.model: {config.segment.model} is not used: method "
                f"{config.segment.method!r} takes no model"
            )
        return
    path = bundle_path(named)
    bundle = load_bundle(path, device="cpu", labels=protocol.network_codes)
    notes.append(f"model {path.name}: digest {bundle.digest[:12]}")
    if config.segment.device == "cuda":
        _require_gpu("segment.device", problems)


def _require_gpu(key: str, problems: list[str]) -> None:
    import torch

    if not torch.cuda.is_available():
        problems.append(
            f"{key}: cuda, but no GPU is to be seen on this machine; expected auto or cpu here (on "
            "a cluster: check on a GPU node)"
        )


def _check_optional(config: Config, problems: list[str], notes: list[str]) -> None:
    """Check the files that predicted Dice and attribution maps name."""
    from popscan.stages.segment.bundles import bundle_path

    references = config.rca.references
    named = references not in ("auto", "study", "simulated")
    if config.rca.enabled and named and not Path(references).is_file():
        problems.append(
            f"rca.references: {references}: no such file; expected auto, study, simulated, or the "
            "rca/references.npz of another study"
        )
    if config.visibility.enabled and config.visibility.baseline_model:
        try:
            bundle_path(config.visibility.baseline_model)
        except PopscanError as error:
            problems.append(str(error).replace("segment.model", "visibility.baseline_model"))


def _check_qc(config: Config, problems: list[str], notes: list[str]) -> None:
    from popscan.qc import order_problems, threshold_problems

    specs = load_place(get_protocol(config.protocol).quality.checks)
    given = config.qc.thresholds
    wrong = threshold_problems(specs, given) or order_problems(specs, given)
    problems += [f"qc.thresholds: {text}" for text in wrong]


def _check_overrides(config: Config, cohort: Cohort, problems: list[str]) -> None:
    """Check what would otherwise end the study at its tables, after all the computing."""
    from popscan.qc.overrides import MAX_PROBLEMS, override_problems
    from popscan.study.overrides import read_overrides

    path = config.qc.overrides
    found = override_problems(read_overrides(Path(path)), [p.subject.unit for p in cohort.planned])
    problems += [f"qc.overrides: {path}: {text}" for text in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        problems.append(f"qc.overrides: {path}: {len(found) - MAX_PROBLEMS} more problems")


def _check_cohort(
    config: Config, problems: list[str], notes: list[str], *, deep: bool = False
) -> None:
    options = config.model_dump()
    cohort: Cohort = find_cohort(options)
    problems += cohort.problems
    if not cohort.planned:
        problems.append(f"no subject found in {where(options)}")
    without = [p for p in cohort.planned if not p.subject.sources]
    notes.append(f"{_subjects(len(cohort.planned))} in {where(options)}")
    if without and config.source.kind != "simulated":
        listed = ", ".join(p.subject.unit for p in without[:5])
        have = "has" if len(without) == 1 else "have"
        who = _subjects(len(without))
        problems.append(f"{who} of the cohort table {have} no images: {listed}")
    if cohort.unlisted:
        listed = ", ".join(cohort.unlisted[:5])
        have = "has" if len(cohort.unlisted) == 1 else "have"
        who = _subjects(len(cohort.unlisted))
        problems.append(f"{who} {have} images but no row: {listed}")
    for planned in cohort.planned:
        if planned.problem.get("status") == "failed":
            problems.append(f"{planned.subject.unit}: {planned.problem['message']}")
    notes += cohort.notes
    if config.subjects and cohort.planned:
        try:
            resolve_units(
                name_list(config.subjects),
                [p.subject.unit for p in cohort.planned],
                where="subjects",
            )
        except PopscanError as error:
            problems.append(str(error))
    if not config.experiment.attribute:
        study = Path(config.study.results, config.study.name)
        notes += leaving_notes(study, cohort)
        check_before_run(study, config.model_dump())
    if not config.experiment.attribute:
        wrong, lacking = study_columns(config, cohort.table)
        problems += wrong
        notes += lacking
        if config.qc.overrides:
            _check_overrides(config, cohort, problems)
        _check_predictions(config, cohort, problems, notes)
    if config.source.kind != "simulated":
        from popscan.commands.check_scans import open_scans

        opened = open_scans(options, cohort.planned, deep=deep)
        problems += opened.problems()
        notes += opened.notes()


def _check_predictions(
    config: Config, cohort: Cohort, problems: list[str], notes: list[str]
) -> None:
    """Read the table of predictions as the audit will, against the cohort table."""
    from popscan.study.predictions import PredictionProblems, study_predictions

    units = [planned.subject.unit for planned in cohort.planned]
    people = pd.DataFrame([dict(planned.subject.row) for planned in cohort.planned], index=units)
    people["sub"] = [planned.subject.sub for planned in cohort.planned]
    try:
        _, found = study_predictions(config.fairness.predictions, people)
    except PredictionProblems as error:
        problems += error.problems
    else:
        notes += found


def _check_disk(config: Config, problems: list[str], notes: list[str]) -> None:
    folder = Path(config.study.results).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    note = f"{free:.0f} GB free in {config.study.results}"
    protocol = get_protocol(config.protocol)
    if protocol.mb_per_subject and not config.experiment.attribute:
        note += (
            f"; a study of {protocol.name} takes about {protocol.mb_per_subject:g} MB per subject"
        )
    notes.append(note)
