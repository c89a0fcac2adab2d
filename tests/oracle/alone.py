"""The subjects of a run whose score a card without friends gives: of their friends nothing is told, or relationships weigh nothing."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def rows(run, segment):
    """Their rows of the scored table in a segment, and their features beside their ids."""
    scores = pq.read_table(run / "scores.parquet")
    told = run / "relationships.parquet"
    told = pq.read_table(told)["subject_id"] if told.exists() else pa.array([], scores["subject_id"].type)
    alone = pc.or_(pc.invert(pc.is_in(scores["subject_id"], value_set=told)), pc.equal(scores["max_relationships"], 0))
    chosen = pc.and_(pc.and_(pc.equal(scores["segment"], segment), pc.is_valid(scores["score"])), alone)
    features = {"subject_id": scores["subject_id"]}
    # The files of features are in the order of the table.
    for file in sorted((run / "features").glob("*.parquet")):
        table = pq.read_table(file)
        features.update(zip(table.column_names, table.columns))
    return scores.filter(chosen).to_pylist(), pa.table(features).filter(chosen)


def score(row):
    """The score before a policy rule lowered it: no card knows those."""
    before = row["score_before_override"]
    return row["score"] if before is None else before
