"""The commands of a cluster: create, index, remove, serve, status, check, clean."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ParameterError
from .console import Failures, named_paths, parsed_limits, progress, say, talkative
from .options import (
    EXAMPLES,
    PHOTOS,
    PLACES,
    SETTINGS,
    Command,
    JsonOption,
    LimitOption,
    NulOption,
    StrictOption,
    option,
)

if TYPE_CHECKING:
    from ..cluster.config import ClusterConfig
    from ..cluster.garbage import Garbage

__all__ = ["app"]

app = typer.Typer(
    help="A collection on several machines (docs/cluster.md).",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=SETTINGS,
)
ClusterArgument = Annotated[
    Path, typer.Argument(metavar="CLUSTER.toml", help="What is said of it.")
]
ShardJobsOption = Annotated[int, option(PLACES, "Processes a shard.", value="N", min=0, max=1024)]
WATCH_SECONDS = 5.0
DAY = 86_400.0


def create(
    cluster: ClusterArgument,
    shards: Annotated[
        int, option(PLACES, "In how many parts; fixed from then on.", value="N", min=1)
    ],
    store: Annotated[
        str,
        option(PLACES, "s3://bucket/prefix, or a folder that all machines share.", value="PLACE"),
    ],
    root: Annotated[
        Path,
        option(
            PLACES, "The folder of the pictures, at the same place on all machines.", value="FOLDER"
        ),
    ] = Path("."),
    cache: Annotated[
        Path,
        option(
            PLACES, "A folder of each machine for what is fetched from the store.", value="FOLDER"
        ),
    ] = Path("~/.cache/bovw"),
    replicas: Annotated[
        int, option(PLACES, "Processes that answer for a shard.", value="N", min=1)
    ] = 1,
    address: Annotated[
        str,
        option(
            PLACES,
            "HOST:PORT of the head of a Ray cluster; by default Ray is started on this machine; "
            "`here` is without Ray, in one process.",
            value="HOST:PORT",
        ),
    ] = "",
    vocab: Annotated[
        Path | None, option(PLACES, "A vocabulary of your own, from train-vocab.", value="PATH")
    ] = None,
) -> None:
    """Make an empty cluster, and the file that says what it is."""
    from ..cluster.building import create_cluster
    from ..cluster.config import ClusterConfig, write_config
    from ..features.vocabulary import Vocabulary

    config = ClusterConfig(
        store=store if store.startswith("s3://") else os.path.abspath(store),
        shards=shards,
        picture_root=os.path.realpath(root),
        cache=os.path.abspath(cache.expanduser()),
        replicas=replicas,
        address=address,
    )
    vocabulary = Vocabulary.load(vocab) if vocab else None
    write_config(cluster, config)
    try:
        create_cluster(config, vocabulary)
    except BaseException:
        cluster.unlink()
        raise
    say(f"{cluster}: {shards} shards in {config.store}")


def index(
    cluster: ClusterArgument,
    photos: Annotated[list[str], PHOTOS],
    jobs: ShardJobsOption = 1,
    limit: LimitOption = [],  # noqa: B006 - Typer's way; nobody changes it
    strict: StrictOption = False,
    nul: NulOption = False,
) -> None:
    """Add pictures to a cluster, shard by shard on its machines; what was cut off goes on."""
    change(cluster, named_paths(photos, nul), [], jobs, limit, strict)


def remove(
    cluster: ClusterArgument,
    photos: Annotated[list[str], PHOTOS],
    nul: NulOption = False,
) -> None:
    """Remove images from a cluster. The picture files are not touched."""
    change(cluster, [], named_paths(photos, nul), 0, [], False)


def change(
    cluster: Path, add: list[str], gone: list[str], jobs: int, limit: list[str], strict: bool
) -> None:
    """Change a cluster and say what became of it."""
    from ..cluster.machines import change_cluster

    config, limits = config_of(cluster), parsed_limits(limit, strict)
    with Failures(None) as failures:
        with progress() as bar:
            manifest, reports, problems = change_cluster(
                config,
                add,
                gone,
                jobs=jobs,
                limits=limits,
                progress=lambda done, total: bar("index", done, total),
            )
        for problem in [*problems, *(each for report in reports for each in report.failed)]:
            failures.add(problem)
    added, changed, unchanged, removed = (
        sum(getattr(report, name) for report in reports)
        for name in ("added", "changed", "unchanged", "removed")
    )
    say(
        f"{cluster}: {manifest.image_count:,} images: {added} added, {changed} changed, "
        f"{removed} removed, {unchanged} unchanged, {len(failures.reasons)} left out"
    )
    if failures.reasons:
        raise typer.Exit(1)


def serve(cluster: ClusterArgument) -> None:
    """Start the replicas on the machines of the cluster, and keep them at the newest generation,
    until this is interrupted.
    """
    from ..cluster.cluster_index import ClusterIndex
    from ..cluster.machines import HERE, RayReplicas

    config = config_of(cluster)
    if config.address == HERE:
        raise ParameterError("address: `here` has no replicas to start; search it directly")
    replicas = RayReplicas(config, detached=bool(config.address))
    with ClusterIndex(config, replicas) as opened:
        opened.ready()
        typer.echo(f"{cluster}: generation {opened.manifest.generation} answers")
        while True:
            time.sleep(WATCH_SECONDS)
            if opened.refresh():
                typer.echo(f"{cluster}: generation {opened.manifest.generation} answers")


def status(cluster: ClusterArgument, as_json: JsonOption = False) -> None:
    """Say what a cluster holds, and which shards answer."""
    from ..cluster.cluster_index import ClusterIndex
    from ..cluster.machines import opened_replicas

    config = config_of(cluster)
    with ClusterIndex(config, opened_replicas(config)) as opened:
        manifest, missing = opened.manifest, opened.ready()
        facts = {
            "generation": manifest.generation,
            "images": manifest.image_count,
            "store": config.store,
            "shards": [
                {
                    "shard": number,
                    "images": entry.image_count,
                    "features": entry.feature_count,
                    "answers": number not in missing,
                    "reason": missing[number].reason if number in missing else "",
                }
                for number, entry in enumerate(manifest.shards)
            ],
        }
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"{cluster}: generation {manifest.generation}, {manifest.image_count:,} images")
        for number, entry in enumerate(manifest.shards):
            answers = f"no: {missing[number].reason}" if number in missing else "yes"
            typer.echo(f"  shard {number:4d}  {entry.image_count:12,} images  answers: {answers}")
    if missing:
        raise typer.Exit(1)


def check(cluster: ClusterArgument) -> None:
    """Read all that the newest generation of a cluster consists of, and say what is damaged; and
    how much of what is stored nobody needs.
    """
    from ..cluster.building import check_cluster
    from ..cluster.garbage import find_garbage
    from ..cluster.store import opened_store

    config = config_of(cluster)
    damages = check_cluster(config)
    for damage in damages:
        typer.echo(f"{cluster}: {damage}")
    garbage = None if damages else find_garbage(opened_store(config.store), 0.0)
    if garbage and garbage.keys:
        typer.echo(f"{cluster}: {told(garbage)} are not needed: bovw cluster clean")
    typer.echo(f"{cluster}: {'damaged' if damages else 'sound'}")
    if damages:
        raise typer.Exit(1)


def clean(
    cluster: ClusterArgument,
    older_than: Annotated[
        float,
        option(
            PLACES,
            "Only what is older than so many days: more than a build takes, and more than anybody "
            "asks an old generation.",
            value="DAYS",
            min=0,
        ),
    ] = 7.0,
) -> None:
    """Remove from the store what nobody needs: what was cut off has left it, or it is of old
    generations. Images are not touched.
    """
    from ..cluster.garbage import clean_cluster

    removed = clean_cluster(config_of(cluster), older_than * DAY)
    say(f"{cluster}: {told(removed)} removed")


def told(garbage: Garbage) -> str:
    """How much it is."""
    return f"{len(garbage.keys):,} objects ({garbage.size_bytes / 1e6:.1f} MB)"


def config_of(cluster: Path) -> ClusterConfig:
    """What a file says of a cluster."""
    from ..cluster.config import read_config

    return read_config(cluster)


COMMANDS: dict[str, Callable[..., None]] = {
    "create": create,
    "index": index,
    "remove": remove,
    "serve": serve,
    "status": status,
    "check": check,
    "clean": clean,
}
for name, function in COMMANDS.items():
    example = EXAMPLES[f"cluster {name}"]
    app.command(name, cls=Command, epilog=example)(talkative(function))
