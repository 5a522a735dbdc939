"""Studies: one file a paper's question. Each has its grid as data and its tables, the paper's figures beside ours.

A study is a set of cells. A cell trains what it must and gives the score of every test case; a finished cell is a
sealed folder named by what it depends on, so a study that was stopped goes on, and nothing is computed twice.
"""

from parfocal.core.registry import Family

FAMILY = Family(
    "studies",
    {
        "instruments": "parfocal.studies.instruments:Instruments",
        "architectures": "parfocal.studies.architectures:Architectures",
        "adversarial": "parfocal.studies.adversarial:Adversarial",
        "limited-labels": "parfocal.studies.limited_labels:LimitedLabels",
        "synthetic-pairs": "parfocal.studies.synthetic_pairs:SyntheticPairs",
        "localization": "parfocal.studies.localization:Localization",
        "sequence": "parfocal.studies.sequence:InTurn",
        "detection": "parfocal.studies.detection:Detection",
    },
)
