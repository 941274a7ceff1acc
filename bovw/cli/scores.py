"""What `bovw evaluate` prints and writes of what was measured, and its options."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import printable
from ..reporting import Failure
from .console import complain
from .options import HOW, OUTPUT, PICTURES, option, writable

if TYPE_CHECKING:
    from ..evaluation.scores import Evaluation
    from ..evaluation.sweep import Sweep
    from ..evaluation.truth import GroundTruth
    from ..searcher import Searcher

__all__ = [
    "FORMAT",
    "ByOption",
    "CropOption",
    "DepthOption",
    "Format",
    "FormatOption",
    "ImagesOption",
    "Outputs",
    "ReportOption",
    "ResamplesOption",
    "RunOption",
    "SampleOption",
    "SaveOption",
    "SaveQrelsOption",
    "SeedOption",
    "end",
    "index_facts",
    "show",
    "show_sweep",
]


class Format(StrEnum):
    """Files that ground truth is kept in."""

    TABLE = "table"
    QRELS = "qrels"
    REVISITOP = "revisitop"


FORMAT = option(
    PICTURES,
    "What the ground truth is: a table of queries with their answers; TREC's qrels; lists of "
    "revisitop as JSON (Revisited Oxford and Paris).",
    "--format",
    value="[table|qrels|revisitop]",
)
FormatOption = Annotated[Format, FORMAT]
ImagesOption = Annotated[
    Path | None,
    option(
        PICTURES,
        "The folder that answers are relative to, if not that of the ground truth.",
        value="FOLDER",
    ),
]
SampleOption = Annotated[
    int,
    option(PICTURES, "Make queries out of so many pictures of the index.", value="N", min=1),
]
DepthOption = Annotated[
    int,
    option(HOW, "Score so many images a query.", value="N", min=1),
]
CropOption = Annotated[
    bool | None,
    option(
        HOW,
        "Queries are parts of what they seek; by default those with an outline are.",
        "--crop/--no-crop",
    ),
]
ByOption = Annotated[
    str,
    option(
        HOW,
        "search; or compare whole pictures by what similar takes: fused, vlad, hash...",
        value="MODE",
    ),
]
RunOption = Annotated[
    Path | None,
    option(OUTPUT, "Write the rankings here, as a TREC run.", value="FILE", callback=writable),
]
SaveQrelsOption = Annotated[
    Path | None,
    option(
        OUTPUT, "Write the ground truth here, as TREC's qrels.", value="FILE", callback=writable
    ),
]
SaveOption = Annotated[
    Path | None,
    option(OUTPUT, "Write all scores here, query by query.", value="JSON", callback=writable),
]
ReportOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "Write a page with plots and the worst failures here.",
        value="HTML",
        callback=writable,
    ),
]
ResamplesOption = Annotated[
    int,
    option(OUTPUT, "Of the bootstrap for the intervals.", value="N", min=1),
]
SeedOption = Annotated[
    int,
    option(
        OUTPUT, "Same seed and pictures, same queries and intervals.", value="N", env="SEED", min=0
    ),
]


@dataclass(frozen=True)
class Outputs:
    """Where to write what, and how intervals are made.

    Attributes:
        run: file for the rankings, if any.
        qrels: file for the ground truth.
        scores: file for the scores as JSON.
        report: file for the page.
        resamples, seed: of the bootstrap.
        queries_stay: whether the query pictures are there when the command has ended.
    """

    run: Path | None
    qrels: Path | None
    scores: Path | None
    report: Path | None
    resamples: int
    seed: int
    queries_stay: bool = True


def index_facts(index: Searcher, path: Path, jobs: int) -> dict[str, Any]:
    """What the scores of an index depend on."""
    info = index.info()
    facts = {"path": str(path), "images": info.image_count, "vocabulary": info.vocabulary}
    return {"index": {**facts, **info.spec.to_json()}, "jobs": jobs}


def show(
    evaluation: Evaluation, truth: GroundTruth, facts: dict[str, Any], outputs: Outputs
) -> None:
    """Print an evaluation and write what is to be written."""
    from ..evaluation.saved import save_scores
    from ..evaluation.scorecard import scores_text, write_scorecard
    from ..evaluation.trec import write_qrels, write_run

    sets = evaluation.by_set(resamples=outputs.resamples, seed=outputs.seed)
    warn_of(evaluation.absent)
    if sets:
        typer.echo(scores_text(evaluation, sets))
    if outputs.run:
        write_run(outputs.run, evaluation.rankings())
    if outputs.qrels:
        write_qrels(outputs.qrels, truth.judgements())
    if outputs.scores:
        facts = {**facts, "seed": outputs.seed, "resamples": outputs.resamples}
        save_scores(outputs.scores, evaluation, sets, facts)
    if outputs.report:
        stay = outputs.queries_stay
        write_scorecard(outputs.report, "bovw evaluate", evaluation, sets, queries_stay=stay)


def warn_of(absent: list[str]) -> None:
    """Say that relevant images are not in the index, if any."""
    if absent:
        typer.echo(
            f"bovw: warning: {len(absent):,} relevant images are not in the index and count as "
            f"missed, such as {printable(absent[0])}",
            err=True,
        )


def show_sweep(
    sweep: Sweep, facts: dict[str, Any], scores: Path | None, report: Path | None
) -> None:
    """Print the trials of a sweep and write what is to be written."""
    from ..evaluation.scorecard import sweep_text, write_sweep
    from ..evaluation.trec import write_lines

    warn_of(sweep.absent)
    typer.echo(sweep_text(sweep))
    if scores:
        text = json.dumps({**facts, **sweep_facts(sweep)}, indent=1)
        write_lines(scores, iter([text]))
    if report:
        write_sweep(report, sweep)


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


def end(failed: list[Failure]) -> None:
    """End the command: name what was left out; if that is anything, the exit code is 1."""
    for failure in failed:
        complain(failure)
    if failed:
        raise typer.Exit(1)
