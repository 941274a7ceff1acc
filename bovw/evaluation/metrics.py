"""How good a ranking is: one number a measure and query.

Names are those of ir-measures (https://ir-measur.es), which computes what it has with trec_eval's
own code; what it lacks is computed here. Ranks count from 1; R is the number of relevant images,
found or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from ..errors import MissingLibraryError

__all__ = [
    "CLASSES_AP",
    "CLASSES_DEPTH",
    "attainable",
    "classes_ap",
    "f1",
    "measured",
    "ns_score",
    "ranks_of",
    "require_library",
    "revisitop_ap",
    "revisitop_precision",
]

CLASSES_DEPTH = 100
CLASSES_AP = f"AP(classes)@{CLASSES_DEPTH}"
SUCCESS, RECALL, PRECISION, REVISITOP = (1, 10), (1, 3, 5, 10, 100), (1, 3, 5, 10), (1, 5, 10)


def measured(
    rankings: Mapping[str, Sequence[str]], relevant: Mapping[str, Set[str]]
) -> dict[str, dict[str, float]]:
    """The measures of each query that has relevant images; a query without a ranking found nothing.

    `AP`: average precision, standard (mean over the R of the precision at their ranks; 0 for those
    not found), `AP@100` of the first 100 (still over R); `RR`: 1 / rank of the first relevant;
    `Success@k`: whether one is among the first k; `R@k`, `P@k`: relevant among the first k, over R
    and over k; `F1@k`: see `f1`; `AP(classes)@100`: see `classes_ap`.

    Args:
        rankings: images best first, without those to ignore.

    Raises:
        MissingLibraryError: ir-measures is not installed.
    """
    require_library()
    import ir_measures
    from ir_measures import AP, RR, P, R, Success

    measures = [
        AP,
        AP @ 100,
        RR,
        *(Success @ k for k in SUCCESS),
        *(R @ k for k in RECALL),
        *(P @ k for k in PRECISION),
    ]
    run, qrels = {}, {}
    for query, answers in relevant.items():
        if answers:
            ranking = rankings.get(query, ())
            # images become their ranks: no name can confuse the library, and no score can tie
            run[query] = {str(rank): float(-rank) for rank in range(1, len(ranking) + 1)}
            ranks = ranks_of(ranking, answers)
            qrels[query] = {
                **{str(rank): 1 for rank in ranks},
                **{f"absent {n}": 1 for n in range(len(answers) - len(ranks))},
            }
    values: dict[str, dict[str, float]] = {query: {} for query in qrels}
    keys = {str(number): query for number, query in enumerate(qrels)}
    numbered = [{key: table[query] for key, query in keys.items()} for table in (qrels, run)]
    for metric in ir_measures.iter_calc(measures, *numbered):
        values[keys[metric.query_id]][str(metric.measure)] = float(metric.value)
    for query, found in values.items():
        for k in PRECISION:
            found[f"F1@{k}"] = f1(found[f"P@{k}"], found[f"R@{k}"])
        ranks = ranks_of(rankings.get(query, ()), relevant[query])
        found[CLASSES_AP] = classes_ap(ranks, len(relevant[query]))
        found["AP(revisitop)"] = revisitop_ap(ranks, len(relevant[query]))
        found.update({f"P(revisitop)@{k}": revisitop_precision(ranks, k) for k in REVISITOP})
    return values


def require_library() -> None:
    """Raise MissingLibraryError unless ir-measures is installed, before hours are spent on what it
    is to score.
    """
    try:
        import ir_measures  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            "ir-measures is not installed: "
            "`pip install ir-measures` (or 'bovw[evaluate]') brings it"
        ) from error


def ranks_of(ranking: Sequence[str], relevant: Set[str]) -> list[int]:
    """The ranks of relevant images, ascending."""
    return [rank for rank, image in enumerate(ranking, 1) if image in relevant]


def f1(precision: float, recall: float) -> float:
    """The harmonic mean of precision and recall; 0 if both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def attainable(measure: str, relevant: int) -> float:
    """The largest value, up to 1, that a measure of `measured` can have for a query with so many
    relevant images: with one of them, P@3 is 1/3 at best.
    """
    name, _, depth = measure.partition("@")
    if name not in ("P", "R", "F1", "AP") or not depth or not relevant:
        return 1.0
    hits = min(int(depth), relevant)
    precision, recall = hits / int(depth), hits / relevant
    return {"P": precision, "F1": f1(precision, recall)}.get(name, recall)


def classes_ap(ranks: Sequence[int], relevant: int, depth: int = CLASSES_DEPTH) -> float:
    """Average precision of the first `depth` images where more than these may be relevant, as in
    retrieval by classes: the mean of the precision at the ranks of relevant images, over as many of
    them as there can be, min(R, depth). `AP@100` divides by R, so of a class of 5,000 images it is
    .02 at best.

    Args:
        ranks: of the relevant images that were found, ascending.
        relevant: R, how many there are.
    """
    inside = [rank for rank in ranks if rank <= depth]
    return sum(found / rank for found, rank in enumerate(inside, 1)) / min(relevant, depth)


def ns_score(ranking: Sequence[str], views: Set[str]) -> float:
    """UKBench's score: how many of the four views of an object, the query itself among them, are in
    the first four (0 to 4).

    Nister and Stewenius, CVPR 2006. The ranking must not leave the query out.
    """
    return float(len(views & set(ranking[:4])))


def revisitop_ap(ranks: Sequence[int], relevant: int) -> float:
    """Average precision as Oxford, Paris and their revisited versions compute it: the area under
    precision over recall by trapezia, where precision is 1 before anything is found. One hit at
    rank 2 gives 0.25; the standard AP gives 0.5.

    Philbin et al., CVPR 2007; Radenovic et al., CVPR 2018.

    Args:
        ranks: of the relevant images that were found, ascending.
        relevant: how many there are.
    """
    area = 0.0
    for found, rank in enumerate(ranks):
        before = found / (rank - 1) if rank > 1 else 1.0
        area += (before + (found + 1) / rank) / 2
    return area / relevant


def revisitop_precision(ranks: Sequence[int], k: int) -> float:
    """Precision among the first k as revisitop computes it: k is at most the rank of the last
    relevant image that was found.
    """
    if not ranks:
        return 0.0
    depth = min(ranks[-1], k)
    return sum(rank <= depth for rank in ranks) / depth
