"""Commands on model bundles: train, suspects, suggest, calibrate, predict."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from popscan.cli.adding import Commands


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    train = commands.add_parser("train", help="train a model bundle from labelled scans")
    train.add_argument("recipe", nargs="+", help="recipe name or YAML file; several: an ensemble")
    train.add_argument("--source", choices=("acdc", "bids"), default="bids", help="kind of data")
    train.add_argument("--root", type=Path, required=True, help="folder of labelled scans")
    train.add_argument("--work", type=Path, required=True, help="checkpoints, learning curves")
    train.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    train.add_argument("--validation", type=int, default=14, help="subjects kept out of training")
    train.add_argument(
        "--stratify", default="", help="attribute that the split keeps in proportion"
    )
    train.add_argument("--seed", type=int, default=0, help="seed of the split")
    train.set_defaults(call=_train)

    suspects = commands.add_parser(
        "suspects", help="list the reference labels that a training found suspicious"
    )
    suspects.add_argument("recipe", help="recipe name or YAML file, with learning: snapshots")
    suspects.add_argument("--source", choices=("acdc", "bids"), default="bids", help="kind of data")
    suspects.add_argument("--root", type=Path, required=True, help="folder of labelled scans")
    suspects.add_argument("--work", type=Path, required=True, help="that of the training")
    suspects.add_argument("--out", type=Path, required=True, help="TSV that is written")
    suspects.add_argument("--by", choices=("loss", "gradients"), default="loss", help="which sign")
    suspects.add_argument(
        "--over", choices=("visit", "slice"), default="visit",
        help="order visits by the median of their labelled slices, or by their worst slice",
    )  # fmt: skip
    suspects.set_defaults(call=_suspects)

    suggest = commands.add_parser(
        "suggest", help="rank the unlabelled scans that are worth labelling next"
    )
    suggest.add_argument("model", type=Path, help="folder of the bundle")
    suggest.add_argument("--source", choices=("acdc", "bids"), default="bids", help="kind of data")
    suggest.add_argument("--root", type=Path, required=True, help="folder of scans")
    suggest.add_argument("--out", type=Path, required=True, help="TSV that is written")
    suggest.add_argument("--n", type=int, default=20, help="number of scans to choose")
    suggest.add_argument(
        "--among", type=float, default=0.5, help="choose from this most uncertain share first"
    )
    suggest.add_argument("--seed", type=int, default=0, help="seed of the order of equal scans")
    suggest.add_argument("--protocol", default="", help="protocol of the bundle")
    suggest.set_defaults(call=_suggest)

    calibrate = commands.add_parser(
        "calibrate", help="fit temperature, intervals and expected Dice of a model bundle"
    )
    calibrate.add_argument("model", type=Path, help="folder of the bundle; model.yaml is rewritten")
    calibrate.add_argument(
        "--source", choices=("acdc", "bids"), default="bids", help="kind of data"
    )
    calibrate.add_argument("--root", type=Path, required=True, help="folder of labelled scans")
    calibrate.add_argument(
        "--no-dice",
        action="store_true",
        help="skip fitting expected Dice, which takes most of the time",
    )
    calibrate.add_argument(
        "--cross-fitted",
        type=Path,
        metavar="DIR",
        help="tables of a cross-fitting (benchmarks/segmentation.py --cross-fit WORK --out DIR): "
        "intervals of all its patients instead of the few that the bundle was not trained on",
    )
    calibrate.add_argument(
        "--protocol", default="", help="protocol of the bundle; one other than the default gets "
        "digests of its training images and the detector of unlike scans"
    )  # fmt: skip
    calibrate.set_defaults(call=_calibrate)

    predict = commands.add_parser(
        "predict", help="write the predictions of a model that classifies or regresses for a study"
    )
    predict.add_argument("model", type=Path, help="folder of the bundle")
    predict.add_argument("--configfile", type=Path, required=True, help="config of the study")
    predict.add_argument("--out", type=Path, required=True, help="TSV that is written")
    predict.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    predict.set_defaults(call=_predict)


def _train(arguments: argparse.Namespace) -> None:
    from popscan.commands.training import train_model

    left_out = train_model(
        arguments.recipe,
        kind=arguments.source,
        root=arguments.root,
        work=arguments.work,
        out=arguments.out,
        n_validation=arguments.validation,
        stratify=arguments.stratify,
        seed=arguments.seed,
    )
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(arguments.out)


def _suspects(arguments: argparse.Namespace) -> None:
    from popscan.commands.suspects import suspect_labels

    message, left_out = suspect_labels(
        arguments.recipe,
        kind=arguments.source,
        root=arguments.root,
        work=arguments.work,
        out=arguments.out,
        by=arguments.by,
        over=arguments.over,
    )
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(message)


def _suggest(arguments: argparse.Namespace) -> None:
    from popscan.commands.suggest import suggest_scans

    message, left_out = suggest_scans(
        arguments.model,
        kind=arguments.source,
        root=arguments.root,
        out=arguments.out,
        n=arguments.n,
        among=arguments.among,
        seed=arguments.seed,
        protocol_name=arguments.protocol,
    )
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(message)


def _progress(text: str) -> None:
    print(text, file=sys.stderr)


def _calibrate(arguments: argparse.Namespace) -> None:
    from popscan.commands.training import calibrate_model, know_training_scans
    from popscan.protocols import DEFAULT

    where = {"kind": arguments.source, "root": arguments.root}
    if arguments.protocol not in ("", DEFAULT):
        message, left_out = know_training_scans(
            arguments.model, **where, protocol_name=arguments.protocol, progress=_progress
        )
    else:
        message, left_out = calibrate_model(
            arguments.model,
            **where,
            dice=not arguments.no_dice,
            cross_fitted=arguments.cross_fitted,
            progress=_progress,
        )
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(message)


def _predict(arguments: argparse.Namespace) -> None:
    from popscan.commands.configfile import load_config
    from popscan.commands.predicting import predict_study

    config = load_config(arguments.configfile)
    n, left_out = predict_study(arguments.model, config, arguments.out, device=arguments.device)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{arguments.out}: {n} subjects")
