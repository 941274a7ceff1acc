"""`bovw evaluate`: how well an index answers, on pictures of one's own or with ground truth; which
settings to take; is A better than B?
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ParameterError, printable
from ..reporting import Failure, Progress
from .console import (
    CORES,
    FalseAlarmsOption,
    IndexOption,
    JobsOption,
    LimitOption,
    RootOption,
    complain,
    parsed_limits,
    progress,
)

if TYPE_CHECKING:
    from ..evaluation.run import Evaluation
    from ..evaluation.sweep import Sweep
    from ..evaluation.truth import GroundTruth
    from ..image_index import ImageIndex
    from ..search.ranking import SearchOptions

__all__ = ["evaluate"]

# Options that only some ways to evaluate have a use for, by the names of their parameters.
OF_COMPARISON = {"compare", "resamples", "seed"}
OF_SELF = {"sample", "negatives", "keep"}
OF_TRUTH = {"images", "score"}
OF_ONE_EVALUATION = {"score", "run", "save_qrels"}
OF_SEARCH = {
    "path",
    "root",
    "crop",
    "scoring",
    "verify",
    "words",
    "mirror",
    "false_alarms",
    "limit",
    "jobs",
}


def evaluate(
    context: typer.Context,
    path: IndexOption = Path("index.bovw"),
    itself: Annotated[
        bool,
        typer.Option(
            "--self", help="Make queries out of pictures of the index: no ground truth is needed."
        ),
    ] = False,
    queries: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="Ground truth: a table of queries with their answers."),
    ] = None,
    qrels: Annotated[Path | None, typer.Option(help="Ground truth as TREC's qrels.")] = None,
    revisitop: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Ground truth of Revisited Oxford or Paris.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B",
            help="Compare the scores that two runs of --save wrote; searches nothing.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder that answers are relative to, if not that of the ground truth."
        ),
    ] = None,
    score: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Score this run, of any system, instead of searching."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Write the rankings here, as a TREC run.")
    ] = None,
    save_qrels: Annotated[
        Path | None, typer.Option(help="Write the ground truth here, as TREC's qrels.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="JSON", help="Write all scores here, query by query.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Write a page with plots and the worst failures here."),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Try other settings, one at a time, and say which to take."),
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, help="--self: make queries out of so many pictures.")
    ] = 50,
    negatives: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTOS",
            help="--self: pictures that are not in the index; whatever is found for them is wrong.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="--self: keep the queries and their table here."),
    ] = None,
    among: Annotated[
        int, typer.Option(min=1, help="--sweep: try on a sample of so many pictures.")
    ] = 500,
    depth: Annotated[int, typer.Option(min=1, help="Score so many images a query.")] = 1000,
    crop: Annotated[
        bool | None,
        typer.Option(
            "--crop/--no-crop",
            help="Queries are parts of what they seek; by default those with an outline are.",
        ),
    ] = None,
    scoring: Annotated[str, typer.Option(help="As for search.")] = "hamming",
    verify: Annotated[int, typer.Option(min=0, help="As for search.")] = 100,
    words: Annotated[int, typer.Option(min=1, help="As for search.")] = 4,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="As for search.")] = True,
    false_alarms: FalseAlarmsOption = 0.01,
    limit: LimitOption = [],  # noqa: B006 - Typer's way; nobody changes it
    resamples: Annotated[
        int, typer.Option(min=1, help="Of the bootstrap for the intervals.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, help="Same seed and pictures, same queries and intervals.")
    ] = 0,
    root: RootOption = None,
    jobs: JobsOption = CORES,
) -> None:
    """Measure how well an index answers: on its own pictures (--self) or with ground truth
    (--queries, --qrels, --revisitop).
    """
    itself = itself or (sweep and not (queries or qrels or revisitop or compare))
    one_of(
        {
            "--self": itself,
            "--queries": queries,
            "--qrels": qrels,
            "--revisitop": revisitop,
            "--compare": compare,
        }
    )
    all_fit(context, compare=bool(compare), score=bool(score), sweep=sweep, itself=itself)
    if compare:
        typer.echo(comparison(*compare, resamples, seed))
        return
    from ..evaluation.metrics import require_library
    from ..evaluation.run import evaluate as evaluated
    from ..image_index import ImageIndex
    from ..search.ranking import SearchOptions

    require_library()
    options = SearchOptions(
        k=depth,
        scoring=scoring,
        verify_top=verify,
        words_per_feature=words,
        mirror=mirror,
        false_alarms=false_alarms,
    )
    how: dict[str, Any] = {"jobs": jobs, "limits": parsed_limits(limit)}
    outputs = Outputs(run, save_qrels, save, report, resamples, seed)
    failed: list[Failure] = []
    with tempfile.TemporaryDirectory(prefix="bovw-") as work:
        if score:
            truth = ground_truth(queries, qrels, revisitop, images)
            failed = show(rated(truth, score, depth), truth, {"run": str(score)}, outputs)
        else:
            with ImageIndex.open(path, picture_root=root) as index, progress() as bar:
                if itself:
                    pictures = [os.fspath(negative) for negative in negatives or ()]
                    truth, failed = probes(
                        index, keep, work, bar, sample=sample, negatives=pictures, seed=seed, **how
                    )
                else:
                    truth = ground_truth(queries, qrels, revisitop, images)
                if sweep:
                    tried = tried_out(
                        index,
                        truth,
                        options,
                        work,
                        bar,
                        among=among,
                        crop=crop,
                        resamples=resamples,
                        seed=seed,
                        **how,
                    )
                else:
                    evaluation = evaluated(index, truth, options, crop=crop, progress=bar, **how)
                facts = {"index": index_facts(index, path), "jobs": jobs}
            failed += (
                show_sweep(tried, facts, outputs)
                if sweep
                else show(evaluation, truth, facts, outputs)
            )
    for problem in failed:
        complain(problem)
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Outputs:
    """What is to be written where, and how intervals are made."""

    run: Path | None
    qrels: Path | None
    scores: Path | None
    report: Path | None
    resamples: int
    seed: int


def one_of(ways: dict[str, object]) -> None:
    """Raise ParameterError unless exactly one way to evaluate is asked for."""
    asked = [name for name, value in ways.items() if value]
    if len(asked) != 1:
        raise ParameterError(
            f"{' and '.join(asked) or 'nothing to evaluate'}: give one of {', '.join(ways)}"
        )


def all_fit(
    context: typer.Context, *, compare: bool, score: bool, sweep: bool, itself: bool
) -> None:
    """Raise ParameterError if an option is given that this way to evaluate has no use for."""
    ways = {
        "--compare": (
            compare,
            {str(option.name) for option in context.command.params} - OF_COMPARISON,
        ),
        "--sweep": (sweep, OF_ONE_EVALUATION),
        "--score": (score, OF_SEARCH),
        "--self": (itself, OF_TRUTH),
        "ground truth": (not itself, OF_SELF),
        "an evaluation without --sweep": (not sweep, {"among"}),
    }
    for way, (taken, useless) in ways.items():
        for option in context.command.params:
            source = context.get_parameter_source(str(option.name))
            if taken and option.name in useless and source and source.name == "COMMANDLINE":
                raise ParameterError(f"{option.opts[0]}: does not go with {way}")


def ground_truth(
    queries: Path | None, qrels: Path | None, revisitop: Path | None, images: Path | None
) -> GroundTruth:
    """The ground truth that is given."""
    from ..evaluation.truth import read_qrels_truth, read_queries, read_revisitop

    if queries:
        return read_queries(queries, images)
    if qrels:
        return read_qrels_truth(qrels, images)
    assert revisitop
    return read_revisitop(revisitop, images)


def probes(
    index: ImageIndex, keep: Path | None, work: str, bar: Progress, **how: Any
) -> tuple[GroundTruth, list[Failure]]:
    """Queries made out of the pictures of an index, kept if that is wanted."""
    from ..evaluation.synthetic import make_synthetic_queries
    from ..evaluation.truth import write_queries

    truth, failed = make_synthetic_queries(
        index, keep or Path(work, "queries"), progress=bar, **how
    )
    if keep:
        write_queries(keep / "queries.tsv", truth)
    return truth, failed


def rated(truth: GroundTruth, run: Path, depth: int) -> Evaluation:
    """The evaluation of a run, of so many images a query."""
    from ..evaluation.run import score
    from ..evaluation.trec import read_run

    return score(truth, {query: images[:depth] for query, images in read_run(run).items()})


def tried_out(
    index: ImageIndex,
    truth: GroundTruth,
    options: SearchOptions,
    work: str,
    bar: Progress,
    **how: Any,
) -> Sweep:
    """The trials of other settings."""
    from ..evaluation.sweep import sweep

    return sweep(index, truth, options, work, progress=bar, **how)


def index_facts(index: ImageIndex, path: Path) -> dict[str, Any]:
    """What the scores of an index depend on."""
    info = index.info()
    return {
        "path": str(path),
        "images": info.image_count,
        "vocabulary": info.vocabulary,
        **info.spec.to_json(),
    }


def show(
    evaluation: Evaluation, truth: GroundTruth, facts: dict[str, Any], outputs: Outputs
) -> list[Failure]:
    """Print an evaluation and write what is to be written. Returns the queries that could not be
    used.
    """
    from ..evaluation.scorecard import scores_text, write_scorecard
    from ..evaluation.scores import save_scores, set_scores
    from ..evaluation.trec import write_qrels, write_run

    sets = set_scores(evaluation, resamples=outputs.resamples, seed=outputs.seed)
    warn_of(evaluation.absent)
    if sets:
        typer.echo(scores_text(evaluation, sets))
    if outputs.run:
        write_run(outputs.run, evaluation.rankings())
    if outputs.qrels:
        write_qrels(outputs.qrels, truth.judgements())
    if outputs.scores:
        save_scores(
            outputs.scores,
            evaluation,
            sets,
            {**facts, "seed": outputs.seed, "resamples": outputs.resamples},
        )
    if outputs.report:
        write_scorecard(outputs.report, "bovw evaluate", evaluation, sets)
    return evaluation.failed


def warn_of(absent: list[str]) -> None:
    """Say that relevant images are not in the index, if any."""
    if absent:
        count, example = len(absent), printable(absent[0])
        typer.echo(
            f"bovw: warning: {count:,} relevant images are not in the index and count as missed, such as {example}",
            err=True,
        )


def show_sweep(sweep: Sweep, facts: dict[str, Any], outputs: Outputs) -> list[Failure]:
    """Print the trials of a sweep and write what is to be written. Returns the pictures and queries
    that were left out.
    """
    from ..evaluation.scorecard import sweep_text, write_sweep
    from ..evaluation.trec import write_lines

    warn_of(sweep.absent)
    typer.echo(sweep_text(sweep))
    if outputs.scores:
        write_lines(outputs.scores, iter([json.dumps({**facts, **sweep_facts(sweep)}, indent=1)]))
    if outputs.report:
        write_sweep(outputs.report, sweep)
    return sweep.failed


def comparison(first: Path, second: Path, resamples: int, seed: int) -> str:
    """Two saved evaluations side by side."""
    from ..evaluation.scorecard import comparison_lines
    from ..evaluation.scores import compared, read_scores

    contrasts = compared(read_scores(first), read_scores(second), resamples=resamples, seed=seed)
    return comparison_lines(str(first), str(second), contrasts)


def sweep_facts(sweep: Sweep) -> dict[str, Any]:
    """A sweep as plain JSON values."""
    trials = [asdict(trial) for trial in sweep.trials]
    for trial in trials:
        trial["bytes"] = trial.pop("size_bytes")
    return {
        "trials": trials,
        "images": sweep.image_count,
        "advice": sweep.advice,
        "choice": sweep.choice,
        "failed": list(map(str, sweep.failed)),
        "absent": sweep.absent,
    }
