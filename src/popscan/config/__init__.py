"""The one typed definition of a study's config.

The JSON schema in ``workflow/schemas`` and the reference in ``config/README.md`` are exported from
here (``popscan schema``), so a key that is not defined here is an error everywhere.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popscan.config.analyses import (
        Associate,
        Atlas,
        Fairness,
        Harmonise,
        Rca,
        Report,
        Share,
        Visibility,
    )
    from popscan.config.experiments import Experiment
    from popscan.config.named import Study, study_seed
    from popscan.config.reconstruct import Reconstruct
    from popscan.config.section import Section
    from popscan.config.segment import Segment
    from popscan.config.stages import Biomarkers, Qc
    from popscan.config.study import (
        Cohort,
        Plan,
        Simulate,
        Source,
        Storage,
        source_kind,
    )
    from popscan.config.whole import (
        AuditedTable,
        Config,
        TableConfig,
        fill_in,
        json_schema,
        protocol_problems,
    )

#: What is offered here -> where it lives; resolved on first use: a stage needs few sections.
_WHERE = {
    "Associate": "analyses",
    "Atlas": "analyses",
    "AuditedTable": "whole",
    "Biomarkers": "stages",
    "Cohort": "study",
    "Config": "whole",
    "Experiment": "experiments",
    "Fairness": "analyses",
    "Harmonise": "analyses",
    "Plan": "study",
    "Qc": "stages",
    "Rca": "analyses",
    "Reconstruct": "reconstruct",
    "Report": "analyses",
    "Section": "section",
    "Segment": "segment",
    "Share": "analyses",
    "Simulate": "study",
    "Source": "study",
    "Storage": "study",
    "Study": "named",
    "TableConfig": "whole",
    "Visibility": "analyses",
    "fill_in": "whole",
    "json_schema": "whole",
    "protocol_problems": "whole",
    "source_kind": "study",
    "study_seed": "named",
}

__all__ = [
    "Associate",
    "Atlas",
    "AuditedTable",
    "Biomarkers",
    "Cohort",
    "Config",
    "Experiment",
    "Fairness",
    "Harmonise",
    "Plan",
    "Qc",
    "Rca",
    "Reconstruct",
    "Report",
    "Section",
    "Segment",
    "Share",
    "Simulate",
    "Source",
    "Storage",
    "Study",
    "TableConfig",
    "Visibility",
    "fill_in",
    "json_schema",
    "protocol_problems",
    "source_kind",
    "study_seed",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
