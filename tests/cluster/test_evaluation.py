"""A cluster is evaluated as an index is, with the same scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from bovw import (
    ClusterIndex,
    SearchOptions,
    SimilarSearcher,
    Vocabulary,
    evaluate,
    make_synthetic_queries,
)
from bovw.cluster.routing import LocalReplicas
from bovw.evaluation.sweep import sample_of, trial_index

from .test_cluster import Place


@pytest.mark.slow
def test_scores_are_those_of_one_index(tmp_path: Path, vocabulary: Vocabulary) -> None:
    place = Place(tmp_path, vocabulary)
    with ClusterIndex(place.config, LocalReplicas(place.config)) as cluster, place.one() as index:
        truth, failed = make_synthetic_queries(cluster, tmp_path / "queries", sample=1)
        assert not failed
        for searchers in (
            (cluster, index),
            (SimilarSearcher(cluster, "colour"), SimilarSearcher(index, "colour")),
        ):
            found, expected = (
                evaluate(each, truth, SearchOptions(k=5), jobs=2).outcomes for each in searchers
            )
            assert [each.values for each in found] == [each.values for each in expected]
        sample = sample_of(cluster, truth, 3, 0)
        with trial_index(cluster, cluster.spec, str(tmp_path / "trial.bovw")) as trial:
            assert trial.add(sample).added == len(sample) == 3
