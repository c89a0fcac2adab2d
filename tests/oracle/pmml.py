"""Holds the PMML that `sesame export --format pmml` writes against a run: JPMML, in Java, evaluates it over the run's own features.

    apt-get install default-jre-headless
    pip install pyarrow jpmml_evaluator jpype1
    sesame export MODEL --segment SEGMENT --format pmml --out card.pmml
    python tests/oracle/pmml.py RUN SEGMENT card.pmml

RUN is a run's folder, of the same model and currency; as in exported.py, subjects are compared of whose friends nothing is told.
PMML adds doubles and rounds nothing: what it gives must lie within a half of the run's score. Exits 1 if one does not, or if there
is nothing to compare.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

from jpmml_evaluator import make_evaluator
from jpmml_evaluator.jpype import JPypeBackend

from alone import rows, score

NAMESPACE = "{http://www.dmg.org/PMML-4_4}"
# What the sum of some fifty doubles may be off.
ROUNDING = 1e-9


def main():
    run, segment, file = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    root = ElementTree.parse(file).getroot()
    fields = [field.get("name") for field in root.iter(NAMESPACE + "MiningField")]
    codes = {one.get("reasonCode") for one in root.iter(NAMESPACE + "Characteristic")}
    evaluator = make_evaluator(str(file), backend=JPypeBackend())
    evaluator.verify()
    scores, features = rows(run, segment)
    wrong, worst = 0, 0.0
    for expected, row in zip(scores, features.to_pylist(), strict=True):
        found = evaluator.evaluate({name: row[name] for name in fields})
        off = abs(float(found["score"]) - score(expected))
        worst = max(worst, off)
        reasons = [str(found[f"reason_{n}"]) for n in range(1, 5) if found.get(f"reason_{n}") is not None]
        if off > 0.5 + ROUNDING or not codes.issuperset(reasons):
            wrong += 1
            print(f"{expected['subject_id']}: run {score(expected)}, PMML {found['score']}, reasons {reasons}")
    print(f"{len(scores)} subjects of {segment}, {wrong} differ, the farthest by {worst:.6f} before rounding")
    return 1 if wrong or not scores else 0


if __name__ == "__main__":
    sys.exit(main())
