"""The commands that show a collection as a whole: cluster, map."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import OutputError, ParameterError, printable
from ..reporting import Progress
from .console import Failures, note, parsed_limits, progress, say, warn
from .opening import opened_index, opened_whole
from .options import (
    ACTIONS,
    CORES,
    INDEX_NAME,
    OUTPUT,
    IndexOption,
    JobsOption,
    JsonOption,
    LimitOption,
    RootOption,
    WaitOption,
    option,
    writable,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..index.record import ImageRecord
    from ..overview.clusters import ImageClusters
    from ..overview.maps import ImageMap
    from ..overview.projection import Method
    from ..pictures.reading import Limits

__all__ = ["cluster", "map_index"]

# A heading of help.
ALIKE = "What is alike"
CsvOption = Annotated[
    Path | None,
    option(OUTPUT, "Write a table of the images here.", "--csv", value="FILE", callback=writable),
]
# Pictures of a contact sheet, and of one big picture.
SHEET_MOST, PICTURE_MOST = 100, 10_000


def cluster(
    context: typer.Context,
    path: IndexOption = INDEX_NAME,
    by: Annotated[
        str,
        option(
            ALIKE,
            "What is compared, as for `bovw similar`; or matches: images that verify one another.",
            value="NAMES",
        ),
    ] = "fused",
    count: Annotated[
        int | None, option(ALIKE, "So many clusters at most.", value="N", min=1)
    ] = None,
    distance: Annotated[
        float | None,
        option(
            ALIKE,
            "Join what is so far apart at most, 0 to 2; by default 0.7 of the mean of all pairs.",
            value="D",
        ),
    ] = None,
    confident: Annotated[
        bool,
        option(ALIKE, "Only what lies dense (HDBSCAN); the rest stays alone.", "--confident"),
    ] = False,
    least: Annotated[
        int,
        option(ALIKE, "Images of fewer than so many together stay alone.", value="N", min=1),
    ] = 2,
    sheets: Annotated[
        Path | None,
        option(OUTPUT, "Write a contact sheet of each cluster here.", value="FOLDER"),
    ] = None,
    table: CsvOption = None,
    as_json: JsonOption = False,
    label: Annotated[
        str | None,
        option(
            ACTIONS,
            "Write the cluster of each image into its metadata, under this name.",
            value="NAME=cluster",
        ),
    ] = None,
    root: RootOption = None,
    jobs: JobsOption = CORES,
    limit: LimitOption = [],  # noqa: B006 - Typer's way; nobody changes it
    wait: WaitOption = False,
) -> None:
    """Put the images of an index into clusters of what looks alike: first labels. Or, with one of
    the commands below, search a collection on several machines: a cluster of the other kind.
    """
    if context.invoked_subcommand:
        return
    from ..overview.clusters import cluster_images

    limits, name = parsed_limits(limit), parsed_label(label)
    opening = opened_index if name else opened_whole  # who gives labels changes the index
    with opening(path, root) as source, Failures(None) as failures:
        with progress() as bar:
            found = cluster_images(
                source,
                by=by,
                count=count,
                distance=distance,
                confident=confident,
                least=least,
                progress=bar,
            )
        for each in found.clusters:
            names = [shown_name(record) for record in each.records]
            if as_json:
                typer.echo(json.dumps({"cluster": each.label, "images": names}))
            else:
                typer.echo(f"{each.label:12s} {len(names):6,d} images  {printable(names[0])}")
        say_what_is_left(found)
        labels = found.labels()
        if table:
            rows = ((shown_name(each), labels[each.id] or "") for each in source.records())
            write_table(table, ("image", "label"), rows)
        if sheets:
            write_sheets(sheets, found, jobs, limits, failures)
        if name:
            source.describe({key: {name: value} for key, value in labels.items()}, wait=wait)
            note(f"{path}: the clusters are in the metadata as {name}")
    if failures.reasons:
        raise typer.Exit(1)


def parsed_label(text: str | None) -> str:
    """The name of the metadata that are to have the clusters; empty for none."""
    if text is None:
        return ""
    name, _, value = text.partition("=")
    if not name or value != "cluster":
        raise ParameterError(f"--label: {text!r} is not NAME=cluster")
    return name


def say_what_is_left(found: ImageClusters) -> None:
    """Say how many clusters there are, and what is in none."""
    inside = sum(len(each.records) for each in found.clusters)
    note(f"{len(found.clusters):,} clusters of {inside:,} images, {len(found.alone):,} in none")
    say_what_is_missing(found.missing)


def say_what_is_missing(missing: Sequence[ImageRecord]) -> None:
    """Warn of images that cannot be compared."""
    if missing:
        first = shown_name(missing[0])
        text = f"and {len(missing) - 1:,} more: have nothing that can be compared"
        warn(first, text if len(missing) > 1 else "has nothing that can be compared")


def write_sheets(
    folder: Path, found: ImageClusters, jobs: int, limits: Limits, failures: Failures
) -> None:
    """Write a contact sheet of each cluster, and one of what is in none."""
    from ..report.mosaic import SHEET_SIDE, contact_sheet
    from ..search.drawing import save_picture

    make_folder(folder)
    groups = [(each.label, each.records) for each in found.clusters]
    groups += [("alone", found.alone)] if found.alone else []
    chosen = [record for _, records in groups for record in records[:SHEET_MOST]]
    thumbnails = read(chosen, SHEET_SIDE, jobs, limits, failures)
    for label, records in groups:
        title = f"{label}: {len(records):,} images"
        title += f", the first {SHEET_MOST}" if len(records) > SHEET_MOST else ""
        pixels = [next(thumbnails) for _ in records[:SHEET_MOST]]
        save_picture(folder / f"{label}.jpg", contact_sheet(title, pixels))
    note(f"{folder}: {len(groups):,} contact sheets")


def map_index(
    path: IndexOption = INDEX_NAME,
    by: Annotated[
        str,
        option(
            ALIKE,
            "What is compared, as for `bovw similar`: fused, colour, vlad=1,colour=.5, ...",
            value="NAMES",
        ),
    ] = "fused",
    method: Annotated[
        str,
        option(
            ALIKE,
            "How the images are laid out; umap is an extra.",
            value="[tsne|umap]",
            autocompletion=lambda: ["tsne", "umap"],
        ),
    ] = "tsne",
    neighbours: Annotated[
        int | None,
        option(
            ALIKE,
            "The perplexity of tsne (30), umap's number of neighbours (15).",
            value="N",
            min=1,
        ),
    ] = None,
    tune: Annotated[
        Path | None,
        option(
            ALIKE,
            "Try several numbers of neighbours, draw them in a page here, and keep the best.",
            value="HTML",
            callback=writable,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write a page to pan, zoom, hover and click here.",
            value="HTML",
            callback=writable,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Write one big picture of thumbnails here, such as map.jpg; tiles to zoom into if it "
            "ends in .dzi.",
            value="FILE",
            callback=writable,
        ),
    ] = None,
    table: CsvOption = None,
    root: RootOption = None,
    jobs: JobsOption = CORES,
    limit: LimitOption = [],  # noqa: B006
) -> None:
    """Lay the images of an index out in two dimensions: what looks alike lies near."""
    from ..overview.maps import NAMES, TRIED, map_images
    from ..report.html import Page

    limits = parsed_limits(limit)
    if not (tune or page or picture or table):
        raise ParameterError("map: says nothing by itself: give --page, --picture, --csv or --tune")
    if tune and neighbours is not None:
        raise ParameterError("--tune: tries numbers of neighbours, and --neighbours gives one")
    with opened_whole(path, root) as source, Failures(None) as failures:
        require_picture(picture, len(source))
        with progress() as bar:
            found = map_images(
                source,
                by=by,
                method=cast("Method", method),
                neighbours=TRIED if tune else neighbours,
                progress=bar if tune else None,
            )
        for number, trust in found.tried if tune else ():
            say(f"{number:4d} neighbours: {trust or 'too few images'}")
        facts = f"{NAMES[found.method]} with {found.neighbours} neighbours, {trust_text(found)}"
        say(f"{len(found.records):,} images: {facts}")
        say_what_is_missing(found.missing)
        if tune:
            with Page(tune, f"A map of {len(found.records):,} images") as tried:
                tried.add("Neighbours", found.plot(), "and how far each map can be trusted")
        if table:
            write_map_table(table, found)
        with progress() as bar:
            write_pictures(found, facts, page, picture, jobs, limits, failures, bar)
    if failures.reasons:
        raise typer.Exit(1)


def trust_text(found: ImageMap) -> str:
    """How far a map can be trusted, in words."""
    if found.trust is None or found.grid_trust is None:
        return "too few for a trustworthiness"
    return f"{found.trust}; on the grid {found.grid_trust.value:.3f}"


def write_map_table(path: Path, found: ImageMap) -> None:
    """Write where each image lies."""
    write_table(
        path,
        ("image", "x", "y", "row", "column"),
        (
            (shown_name(record), f"{x:.4f}", f"{y:.4f}", row, column)
            for record, (x, y), (row, column) in zip(
                found.records, found.positions.tolist(), found.cells.tolist(), strict=True
            )
        ),
    )


def write_pictures(
    found: ImageMap,
    facts: str,
    page: Path | None,
    picture: Path | None,
    jobs: int,
    limits: Limits,
    failures: Failures,
    bar: Progress,
) -> None:
    """Write a map as a page, as one big picture, or as tiles."""
    from ..overview.grid import grid_shape
    from ..report.html import link
    from ..report.map_page import Caption, map_page
    from ..report.mosaic import mosaic
    from ..report.thumbnails import thumbnail_side
    from ..report.tiles import THUMBNAIL, Tiles
    from ..search.drawing import save_picture

    shape, side = grid_shape(len(found.records)), thumbnail_side(len(found.records))
    tiled = picture is not None and picture.suffix == ".dzi"
    if page or (picture and not tiled):
        thumbnails = list(read(found.records, side, jobs, limits, failures, bar))
    if page:
        captions = [
            Caption(
                shown_name(record),
                f"{record.width:,} x {record.height:,} pixels",
                link(record.path, str(page.parent)) if record.path else "",
            )
            for record in found.records
        ]
        title = f"{len(found.records):,} images"
        text = map_page(title, facts, found.positions, found.cells, captions, thumbnails, side)
        page.write_text(text, encoding="utf-8")
    if picture and tiled:
        tiles = Tiles(found.cells, shape)
        ordered = [found.records[number] for number in tiles.order()]
        tiles.write(str(picture), read(ordered, THUMBNAIL, jobs, limits, failures, bar))
    elif picture:
        save_picture(picture, mosaic(found.cells, shape, thumbnails, side))


def read(
    records: Sequence[ImageRecord],
    side: int,
    jobs: int,
    limits: Limits,
    failures: Failures,
    bar: Progress | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Thumbnails of images, one after the other; what cannot be read is named, and grey."""
    from ..report.thumbnails import read_thumbnails

    jobs = min(jobs, len(records) // 32)  # starting a process takes longer than a few pictures
    paths = (record.path for record in records)
    for done, thumbnail in enumerate(
        read_thumbnails(paths, side, jobs=jobs, limits=limits, failure=failures.add), 1
    ):
        if bar:
            bar("read", done, len(records))
        yield thumbnail


def shown_name(record: ImageRecord) -> str:
    """What an image is called: its path or, without a file, its id."""
    return record.path or record.id


def require_picture(path: Path | None, count: int) -> None:
    """Raise an error unless a picture of so many images can be written here."""
    from ..search.drawing import require_output

    if path is None or path.suffix == ".dzi":
        return
    require_output(path)
    if count > PICTURE_MOST:
        raise ParameterError(
            f"--picture: one picture shows up to {PICTURE_MOST:,} images, and these are {count:,}: "
            f"take tiles to zoom into, {path.with_suffix('.dzi')}"
        )


def make_folder(path: Path) -> None:
    """Make a folder, if there is none."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(path, f"cannot be made: {error.strerror}") from error


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
