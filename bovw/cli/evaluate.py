"""`bovw evaluate`: how well an index answers, on pictures of one's own or with ground truth; which
settings to take; is A better than B?
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import ParameterError
from ..reporting import Failure
from .console import parsed_limits, progress, talkative
from .opening import opened_searcher
from .options import (
    CORES,
    EXAMPLES,
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    SETTINGS,
    Command,
    ExpandOption,
    FalseAlarmsOption,
    IndexOption,
    JobsOption,
    LimitOption,
    MirrorOption,
    RootOption,
    ScoringOption,
    ThoroughOption,
    VerifyOption,
    WordsOption,
    option,
)
from .scores import (
    FORMAT,
    ByOption,
    CropOption,
    DepthOption,
    Format,
    FormatOption,
    ImagesOption,
    Outputs,
    ReportOption,
    ResamplesOption,
    RunOption,
    SampleOption,
    SaveOption,
    SaveQrelsOption,
    SeedOption,
    end,
    index_facts,
    show,
    show_sweep,
)

if TYPE_CHECKING:
    from ..cluster.cluster_index import ClusterIndex
    from ..evaluation.truth import GroundTruth
    from ..image_index import ImageIndex
    from ..networks.embedder import Embedder
    from ..search.options import Scoring, SearchOptions, Thorough
    from ..searcher import Searcher

__all__ = ["app", "asked_by", "ground_truth", "opened"]

# How deep the rankings of a sweep are, which looks at the first image that is not to be ignored.
SWEPT_DEPTH = 1000

app = typer.Typer(
    help="Measure how well an index answers: which settings to take, is A better than B?",
    rich_markup_mode=None,
    context_settings=SETTINGS,
)


def itself(
    path: IndexOption = INDEX_NAME,
    sample: SampleOption = 50,
    negatives: Annotated[
        list[Path] | None,
        option(
            PICTURES,
            "Pictures that are not in the index; whatever is found for them is wrong.",
            value="PHOTOS",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        option(OUTPUT, "Keep the queries and their table here.", value="FOLDER"),
    ] = None,
    depth: DepthOption = 1000,
    crop: CropOption = None,
    scoring: ScoringOption = "hamming",
    verify: VerifyOption = 100,
    words: WordsOption = 4,
    mirror: MirrorOption = True,
    thorough: ThoroughOption = "never",
    expand: ExpandOption = False,
    by: ByOption = "search",
    false_alarms: FalseAlarmsOption = 0.01,
    run: RunOption = None,
    save_qrels: SaveQrelsOption = None,
    save: SaveOption = None,
    report: ReportOption = None,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
    root: RootOption = None,
    limit: LimitOption = [],  # noqa: B006 - Typer's way; nobody changes it
    jobs: JobsOption = CORES,
) -> None:
    """Ask it for its own pictures; no truth is needed.

    Queries are made out of pictures of the index: crops, turned, scaled, blurred, pasted into
    others, and more.
    """
    from ..evaluation.run import evaluate
    from ..evaluation.synthetic import make_synthetic_queries
    from ..evaluation.truth import write_queries

    options = search_options(depth, scoring, verify, words, mirror, false_alarms)
    options = replace(options, thorough=cast("Thorough", thorough), expand=expand)
    limits = parsed_limits(limit)
    with tempfile.TemporaryDirectory(prefix="bovw-") as work:
        with opened(path, root) as index, progress() as bar:
            truth, failed = make_synthetic_queries(
                index,
                keep or work,
                sample=sample,
                negatives=[os.fspath(negative) for negative in negatives or ()],
                seed=seed,
                jobs=jobs,
                limits=limits,
                progress=bar,
            )
            if keep:
                write_queries(keep / "queries.tsv", truth)
            searcher = asked_by(index, by)
            evaluation = evaluate(
                searcher, truth, options, crop=crop, jobs=jobs, limits=limits, progress=bar
            )
            facts = {**index_facts(index, path, jobs), "by": by}
        stay = keep is not None
        outputs = Outputs(run, save_qrels, save, report, resamples, seed, queries_stay=stay)
        show(evaluation, truth, facts, outputs)
    end([*failed, *evaluation.failed])


def with_truth(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The ground truth.")],
    form: FormatOption = Format.TABLE,
    images: ImagesOption = None,
    path: IndexOption = INDEX_NAME,
    depth: DepthOption = 1000,
    crop: CropOption = None,
    scoring: ScoringOption = "hamming",
    verify: VerifyOption = 100,
    words: WordsOption = 4,
    mirror: MirrorOption = True,
    thorough: ThoroughOption = "never",
    expand: ExpandOption = False,
    by: ByOption = "search",
    false_alarms: FalseAlarmsOption = 0.01,
    run: RunOption = None,
    save_qrels: SaveQrelsOption = None,
    save: SaveOption = None,
    report: ReportOption = None,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
    root: RootOption = None,
    limit: LimitOption = [],  # noqa: B006
    jobs: JobsOption = CORES,
) -> None:
    """Ask queries whose answers are known."""
    from ..evaluation.run import evaluate

    options = search_options(depth, scoring, verify, words, mirror, false_alarms)
    options = replace(options, thorough=cast("Thorough", thorough), expand=expand)
    limits = parsed_limits(limit)
    truth = ground_truth(file, form, images)
    with opened(path, root) as index, progress() as bar:
        searcher = asked_by(index, by)
        evaluation = evaluate(
            searcher, truth, options, crop=crop, jobs=jobs, limits=limits, progress=bar
        )
        facts = {**index_facts(index, path, jobs), "by": by}
    show(evaluation, truth, facts, Outputs(run, save_qrels, save, report, resamples, seed))
    end(evaluation.failed)


def of_run(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Rankings as a TREC run.")],
    file: Annotated[Path, option(PICTURES, "The ground truth.", "--truth", value="FILE")],
    form: FormatOption = Format.TABLE,
    images: ImagesOption = None,
    depth: DepthOption = 1000,
    save_qrels: SaveQrelsOption = None,
    save: SaveOption = None,
    report: ReportOption = None,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """Score what any system found; searches nothing."""
    from ..evaluation.metrics import require_library
    from ..evaluation.run import score
    from ..evaluation.trec import read_run

    require_library()
    truth = ground_truth(file, form, images)
    rankings = {query: names[:depth] for query, names in read_run(run).items()}
    outputs = Outputs(None, save_qrels, save, report, resamples, seed)
    show(score(truth, rankings), truth, {"run": str(run)}, outputs)


def sweep_settings(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The ground truth; without it queries are made out of pictures of the index.",
        ),
    ] = None,
    form: Annotated[Format | None, FORMAT] = None,
    images: ImagesOption = None,
    sample: Annotated[
        int | None,
        option(
            PICTURES, "Without FILE: make queries out of so many pictures (50).", value="N", min=1
        ),
    ] = None,
    among: Annotated[
        int,
        option(PICTURES, "Try on a sample of so many pictures.", value="N", min=1),
    ] = 500,
    path: IndexOption = INDEX_NAME,
    crop: CropOption = None,
    scoring: ScoringOption = "hamming",
    verify: VerifyOption = 100,
    words: WordsOption = 4,
    mirror: MirrorOption = True,
    false_alarms: FalseAlarmsOption = 0.01,
    save: SaveOption = None,
    report: ReportOption = None,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
    root: RootOption = None,
    limit: LimitOption = [],  # noqa: B006
    jobs: JobsOption = CORES,
) -> None:
    """Try other settings, and say which to take.

    They differ in one thing each from the present ones, and are tried on a sample of the pictures.
    """
    from ..evaluation.sweep import sweep
    from ..evaluation.synthetic import make_synthetic_queries

    if file is None and (form or images):
        raise ParameterError("--format, --images: say what of a ground truth; name its file too")
    if file and sample:
        raise ParameterError("--sample: no queries are made where there is a ground truth")
    options = search_options(SWEPT_DEPTH, scoring, verify, words, mirror, false_alarms)
    how: dict[str, Any] = {"seed": seed, "jobs": jobs, "limits": parsed_limits(limit)}
    failed: list[Failure] = []
    with tempfile.TemporaryDirectory(prefix="bovw-") as work:
        with opened(path, root) as index, progress() as bar:
            if file:
                truth = ground_truth(file, form or Format.TABLE, images)
            else:
                truth, failed = make_synthetic_queries(
                    index, Path(work, "queries"), sample=sample or 50, progress=bar, **how
                )
            tried = sweep(
                index,
                truth,
                options,
                work,
                among=among,
                crop=crop,
                resamples=resamples,
                progress=bar,
                **how,
            )
            facts = index_facts(index, path, jobs)
        show_sweep(tried, facts, save, report)
    end([*failed, *tried.failed])


def compare_scores(
    first: Annotated[Path, typer.Argument(metavar="A", help="Scores that --save wrote.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Others, of the same queries.")],
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """Compare two saved evaluations.

    Says which differences mean anything; searches nothing.
    """
    from ..evaluation.saved import compared, read_scores
    from ..evaluation.scorecard import comparison_lines

    contrasts = compared(read_scores(first), read_scores(second), resamples=resamples, seed=seed)
    typer.echo(comparison_lines(str(first), str(second), contrasts))


def search_options(
    depth: int, scoring: str, verify: int, words: int, mirror: bool, false_alarms: float
) -> SearchOptions:
    """What the searches of an evaluation do."""
    from ..search.options import SearchOptions

    return SearchOptions(
        k=depth,
        scoring=cast("Scoring", scoring),
        verify_top=verify,
        words_per_feature=words,
        mirror=mirror,
        false_alarms=false_alarms,
    )


def opened(path: Path, root: Path | None) -> ImageIndex | ClusterIndex:
    """The index or the cluster, once it is sure that what it finds can be scored."""
    from ..evaluation.metrics import require_library

    require_library()
    return opened_searcher(path, root)


def asked_by(
    index: ImageIndex | ClusterIndex, by: str, embedders: Sequence[Embedder] = ()
) -> Searcher:
    """What is asked: the index, or what is similar in it."""
    from ..similarity.searcher import SimilarSearcher

    return index if by == "search" else SimilarSearcher(index, by, embedders)


def ground_truth(file: Path, form: Format, images: Path | None) -> GroundTruth:
    """The ground truth in a file."""
    from ..evaluation.truth import read_qrels_truth, read_queries, read_revisitop

    if form is Format.QRELS:
        return read_qrels_truth(file, images)
    if form is Format.REVISITOP:
        return read_revisitop(file, images)
    return read_queries(file, images)


COMMANDS: dict[str, Callable[..., None]] = {
    "self": itself,
    "truth": with_truth,
    "run": of_run,
    "sweep": sweep_settings,
    "compare": compare_scores,
}
for name, function in COMMANDS.items():
    example = EXAMPLES[f"evaluate {name}"]
    app.command(name, cls=Command, epilog=example)(talkative(function))
