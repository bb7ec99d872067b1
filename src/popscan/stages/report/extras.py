"""Further sections of the report, made by parts of popscan that the report knows nothing of.

A stage names its function (`popscan.stages.description.Stage.report`). The function gets the
study's folder and the whole config, reads its own tables there (written by a rule of its own, which
rule ``report`` then needs as an input), and returns a `popscan.report.Extra`, a list of
them, or None where the study has nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from popscan.methods import resolve
from popscan.report.context import Extra
from popscan.stages import STAGES

#: Name -> ``module:function`` with the arguments (study_root, config), in the report's order.
EXTRAS = {name: stage.report for name, stage in STAGES.items() if stage.report}


def extra_sections(study_root: Path, config: Mapping[str, object]) -> list[Extra]:
    """Return the further sections of a study.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    config
        The whole config.
    """
    made = (resolve(EXTRAS, name, "report.extras")(study_root, config) for name in EXTRAS)
    listed = (one if isinstance(one, list) else [one] for one in made)
    return [extra for several in listed for extra in several if extra is not None]
