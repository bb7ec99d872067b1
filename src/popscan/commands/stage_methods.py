"""Methods, checks and biomarkers that options of side stages name, against those that there are."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from popscan.config import Config
from popscan.protocol import load as load_place
from popscan.protocols import get_protocol
from popscan.records import PopscanError
from popscan.study.named import suggestion


def motion_problems(config: Config) -> list[str]:
    """Say what of the options of `motion` no registration takes; nothing where it is off."""
    options = config.stages.get("motion") or {}
    if not options.get("enabled"):
        return []
    if get_protocol(config.protocol).motion is None:
        return [f"stages.motion: protocol {config.protocol} measures no motion"]
    from popscan.methods import option_problems, resolve
    from popscan.register import METHODS, RESERVED

    try:
        function = resolve(METHODS, str(options.get("method", "demons")), "stages.motion.method")
    except PopscanError as error:
        return [str(error)]
    given = options.get("options") or {}
    if not isinstance(given, Mapping):
        return []  # `stage_problems` says it
    unfit = option_problems(function, given, reserved=RESERVED)
    return [f"stages.motion.options: {text}" for text in unfit]


def stopping_problems(config: Config) -> list[str]:
    """Say what of the options of `stopping` nothing answers to; nothing where it is off.

    A check or a biomarker that does not exist would never keep a scan going, nor end one.
    """
    given = config.stages.get("stopping") or {}
    if not given.get("enabled"):
        return []
    from popscan import recon
    from popscan.methods import option_problems, resolve
    from popscan.stages.stopping.options import Options

    try:
        options = Options.model_validate(given)
    except ValidationError:
        return []  # `stage_problems` says it
    key, protocol = "stages.stopping", get_protocol(config.protocol)
    method = resolve(recon.METHODS, "cg_nufft", key)
    problems = [f"{key}.options: {text}" for text in option_problems(method, options.options)]
    checks = load_place(protocol.quality.checks)
    for name, values, known in (
        ("unchecked", options.unchecked, list(checks)),
        ("widths", list(options.widths), list(protocol.biomarkers.columns())),
    ):
        problems += [
            f"{key}.{name}: {value!r} is none of the protocol's" + suggestion(value, known)
            for value in values
            if value not in known
        ]
    return problems
