"""`bovw evaluate labels`, `modes` and `cifar`: the experiments of the field."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ParameterError
from ..reporting import Failure
from .console import parsed_limits, progress, talkative
from .evaluate import app, asked_by, ground_truth, opened
from .networks import EmbedOption, EmbedWithOption, parsed_embedders
from .opening import opened_whole
from .options import (
    CORES,
    EXAMPLES,
    HOW,
    INDEX_NAME,
    OUTPUT,
    PICTURES,
    Command,
    IndexOption,
    JobsOption,
    LimitOption,
    RootOption,
    option,
)
from .scores import (
    ByOption,
    DepthOption,
    Format,
    FormatOption,
    ImagesOption,
    Outputs,
    ReportOption,
    ResamplesOption,
    RunOption,
    SaveOption,
    SaveQrelsOption,
    SeedOption,
    end,
    index_facts,
    show,
)

if TYPE_CHECKING:
    from ..evaluation.truth import GroundTruth
    from ..searcher import Searcher

__all__ = ["app"]

LabelsOption = Annotated[
    Path | None,
    option(
        PICTURES,
        "A table of pictures and their classes, with the columns image and label; by default a "
        "picture is of the class that its folder is called.",
        value="CSV",
    ),
]
QueriesOption = Annotated[
    list[Path] | None,
    option(
        PICTURES,
        "Ask with these, of the same classes; by default images ask for the others of theirs.",
        "--queries",
        value="PHOTOS",
    ),
]
SampleOption = Annotated[int, option(PICTURES, "Ask with so many pictures.", value="N", min=1)]


def with_labels(
    labels: LabelsOption = None,
    queries: QueriesOption = None,
    sample: SampleOption = 200,
    by: ByOption = "search",
    embed: EmbedOption = None,
    embed_with: EmbedWithOption = [],  # noqa: B006 - Typer's way; nobody changes it
    path: IndexOption = INDEX_NAME,
    depth: DepthOption = 1000,
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
    """Ask for classes: whatever has the label of a picture is what it should find."""
    from ..evaluation.run import evaluate
    from ..search.options import SearchOptions

    embedders, limits = parsed_embedders(embed, embed_with), parsed_limits(limit)
    with opened(path, root) as index, progress() as bar:
        truth = labelled(index, labels, queries, sample, seed)
        evaluation = evaluate(
            asked_by(index, by, embedders),
            truth,
            SearchOptions(k=depth),
            jobs=jobs,
            limits=limits,
            progress=bar,
        )
        facts = {**index_facts(index, path, jobs), "by": by}
    show(evaluation, truth, facts, Outputs(run, save_qrels, save, report, resamples, seed))
    end(evaluation.failed)


def side_by_side(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The ground truth; without it queries are made out of pictures of the index, or "
            "ask for classes (--classes, --labels).",
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
    images: ImagesOption = None,
    classes: Annotated[
        bool, option(PICTURES, "Ask for pictures whose folder is called the same.", "--classes")
    ] = False,
    labels: LabelsOption = None,
    queries: QueriesOption = None,
    sample: SampleOption = 50,
    by: Annotated[
        list[str],
        option(
            HOW,
            "A way to ask: search, or what similar takes; repeatable. All by default.",
            value="MODE",
        ),
    ] = [],  # noqa: B006
    embed: EmbedOption = None,
    embed_with: EmbedWithOption = [],  # noqa: B006
    path: IndexOption = INDEX_NAME,
    depth: DepthOption = 1000,
    save: SaveOption = None,
    seed: SeedOption = 0,
    root: RootOption = None,
    limit: LimitOption = [],  # noqa: B006
    jobs: JobsOption = CORES,
) -> None:
    """Ask in all ways, side by side: what finds what, at which cost."""
    from ..evaluation.metrics import require_library
    from ..evaluation.synthetic import make_synthetic_queries
    from ..evaluation.trec import write_lines
    from ..experiments.modes import default_modes, evaluate_modes, modes_text

    by_class = classes or labels is not None or bool(queries)
    if file and by_class:
        raise ParameterError("--classes, --labels, --queries: there is a ground truth already")
    require_library()
    embedders, limits = parsed_embedders(embed, embed_with), parsed_limits(limit)
    failed: list[Failure] = []
    with (
        tempfile.TemporaryDirectory(prefix="bovw-") as work,
        opened_whole(path, root) as index,
        progress() as bar,
    ):
        if file:
            truth = ground_truth(file, form, images)
        elif by_class:
            truth = labelled(index, labels, queries, sample, seed)
        else:
            truth, failed = make_synthetic_queries(
                index, work, sample=sample, seed=seed, jobs=jobs, limits=limits, progress=bar
            )
        scores = evaluate_modes(
            index,
            truth,
            by or default_modes(index, embedders),
            depth=depth,
            embedders=embedders,
            jobs=jobs,
            limits=limits,
            progress=bar,
        )
        facts = index_facts(index, path, jobs)
    typer.echo(modes_text(scores))
    if save:
        text = json.dumps({**facts, "modes": [each.to_dict() for each in scores]}, indent=1)
        write_lines(save, iter([text]))
    end([*failed, *scores[0].evaluation.failed])


def unpack(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Of the binary version of CIFAR.")
    ],
    out: Annotated[Path, option(OUTPUT, "Folder to write the pictures into.", value="FOLDER")],
) -> None:
    """Unpack CIFAR-10 or CIFAR-100: a folder a class, for index and for labels --queries."""
    from ..experiments.cifar import unpack_cifar

    with progress() as bar:
        counts = unpack_cifar(folder, out, progress=bar)
    typer.echo(f"{out}: {counts['train']:,} pictures in train, {counts['test']:,} in test")


def labelled(
    index: Searcher, labels: Path | None, queries: list[Path] | None, sample: int, seed: int
) -> GroundTruth:
    """Classes as ground truth."""
    from ..experiments.labels import labelled_truth, read_labels

    table = read_labels(labels) if labels else None
    return labelled_truth(index, table, queries or (), sample=sample, seed=seed)


COMMANDS: dict[str, Callable[..., None]] = {
    "labels": with_labels,
    "modes": side_by_side,
    "cifar": unpack,
}
for name, function in COMMANDS.items():
    example = EXAMPLES[f"evaluate {name}"]
    app.command(name, cls=Command, epilog=example)(talkative(function))
