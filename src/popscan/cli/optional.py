"""Commands of rules that a config switches on: atlas, predicted Dice, predictability."""

from __future__ import annotations

import argparse
from pathlib import Path

from popscan.cli.adding import Commands
from popscan.cli.rules import rule_command
from popscan.inventory import inventoried
from popscan.store import Store
from popscan.study.storage import clear_shard


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    prepare = rule_command(commands, "atlas-prepare", _atlas_prepare, "align a shard's subjects")
    prepare.add_argument("--shard", required=True)
    prepare.add_argument("--output", type=Path, required=True)
    members = rule_command(
        commands, "atlas-subjects", _atlas_subjects, "list who is in the atlas, and their groups"
    )
    members.add_argument("--output", type=Path, required=True)
    sums = rule_command(
        commands, "atlas-map", _atlas_map, "register a shard to a template", study=False
    )
    sums.add_argument("--prepared", type=Path, required=True)
    sums.add_argument("--members", type=Path, required=True)
    sums.add_argument("--template", type=Path, nargs="?")
    sums.add_argument("--output", type=Path, required=True)
    reduce = rule_command(commands, "atlas-reduce", _atlas_reduce, "make a round's template")
    reduce.add_argument("--iteration", type=int, required=True)
    reduce.add_argument("--template", type=Path, nargs="?")
    reduce.add_argument("--output", type=Path, required=True)
    atlas = rule_command(commands, "atlas", _atlas, "write the atlas from the last template")
    atlas.add_argument("--template", type=Path, required=True)
    references = rule_command(
        commands, "rca-references", _rca_references, "choose reference cases for predicted Dice"
    )
    references.add_argument("--output", type=Path, required=True)
    rule_command(commands, "rca-validity", _rca_validity, "hold predicted Dice against references")
    features = rule_command(
        commands, "visibility-features", _visibility_features, "features of a shard's subjects"
    )
    features.add_argument("--shard", required=True)
    features.add_argument("--output", type=Path, required=True)
    features.add_argument("--threads", type=int, default=1)
    rule_command(
        commands, "visibility", _visibility, "how well attributes are predicted from features"
    )
    maps = rule_command(
        commands,
        "visibility-maps",
        _visibility_maps,
        "image regions that predict attributes",
    )
    maps.add_argument("--threads", type=int, default=1)


def _atlas_prepare(arguments: argparse.Namespace) -> None:
    from popscan.stages.atlas.job import prepare_shard

    with inventoried(arguments.study, arguments.output):
        prepare_shard(Store(arguments.study), arguments.shard, arguments.options, arguments.output)
    clear_shard(Store(arguments.study), arguments.shard)


def _atlas_subjects(arguments: argparse.Namespace) -> None:
    from popscan.stages.atlas.members import write_members

    with inventoried(arguments.study, arguments.output):
        write_members(arguments.study, arguments.options, arguments.output)


def _atlas_map(arguments: argparse.Namespace) -> None:
    from popscan.stages.atlas.job import map_shard

    study = arguments.output.absolute().parents[3]
    with inventoried(study, arguments.output.absolute()):
        map_shard(
            arguments.prepared,
            arguments.members,
            arguments.template,
            arguments.options,
            arguments.output,
        )


def _atlas_reduce(arguments: argparse.Namespace) -> None:
    from popscan.stages.atlas.job import reduce_round

    with inventoried(arguments.study, arguments.output):
        reduce_round(
            arguments.study,
            arguments.iteration,
            arguments.template,
            arguments.options,
            arguments.output,
        )


def _atlas(arguments: argparse.Namespace) -> None:
    from popscan.stages.atlas.results import write_atlas

    with inventoried(arguments.study, arguments.study / "atlas" / "atlas.json"):
        write_atlas(arguments.study, arguments.template, arguments.options)


def _rca_references(arguments: argparse.Namespace) -> None:
    from popscan.stages.rca.task import make_references

    with inventoried(arguments.study, arguments.output):
        units = make_references(Store(arguments.study), arguments.options, arguments.output)
    print(f"{len(units)} reference cases: {', '.join(units)}")


def _rca_validity(arguments: argparse.Namespace) -> None:
    from popscan.stages.rca.tables import write_validity

    with inventoried(arguments.study, arguments.study / "tables" / "rca_validity.parquet"):
        write_validity(arguments.study, arguments.options)


def _visibility_features(arguments: argparse.Namespace) -> None:
    from popscan.stages.visibility.job import features_shard

    with inventoried(arguments.study, arguments.output):
        count = features_shard(
            Store(arguments.study), arguments.shard, arguments.options, arguments.output
        )
    clear_shard(Store(arguments.study), arguments.shard)
    print(f"features of {count} subjects")


def _features(study: Path) -> list[Path]:
    from popscan.study.tables import study_shards

    return [study / "visibility" / "features" / f"{shard}.npz" for shard in study_shards(study)]


def _visibility(arguments: argparse.Namespace) -> None:
    from popscan.stages.visibility.job import write_visibility

    with inventoried(arguments.study, arguments.study / "tables" / "visibility.parquet"):
        write_visibility(arguments.study, _features(arguments.study), arguments.options)


def _visibility_maps(arguments: argparse.Namespace) -> None:
    from popscan.stages.visibility.maps import write_maps

    with inventoried(arguments.study, arguments.study / "visibility" / "maps.npz"):
        write_maps(Store(arguments.study), _features(arguments.study), arguments.options)
