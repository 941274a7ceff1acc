"""What a command asks: an index or, named by its TOML file, a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ParameterError

if TYPE_CHECKING:
    from ..cluster.cluster_index import ClusterIndex
    from ..image_index import ImageIndex

__all__ = ["opened_index", "opened_searcher", "opened_whole", "require_index"]


def opened_searcher(path: Path, root: Path | None) -> ImageIndex | ClusterIndex:
    """The index in a folder or, at the path of a .toml file, the cluster of that.

    Args:
        root: where the pictures of an index are now.
    """
    from ..cluster.config import is_cluster, read_config

    if not is_cluster(path):
        from ..image_index import ImageIndex

        return ImageIndex.open(path, picture_root=root)
    from ..cluster.cluster_index import ClusterIndex
    from ..cluster.machines import opened_replicas

    require_no_root(root)
    config = read_config(path)
    return ClusterIndex(config, opened_replicas(config))


def opened_index(path: Path, root: Path | None = None) -> ImageIndex:
    """The index in a folder, for a command that works on nothing else. Raises ParameterError for a
    cluster.
    """
    from ..image_index import ImageIndex

    require_index(path)
    return ImageIndex.open(path, picture_root=root)


def opened_whole(path: Path, root: Path | None = None) -> ImageIndex:
    """The index in a folder or, of a cluster, one of all its images that is only read: for a
    command that compares all images with all.
    """
    from ..cluster.config import is_cluster, read_config

    if not (is_cluster(path) and path.exists()):
        return opened_index(path, root)
    from ..cluster.gathering import gathered_index
    from ..cluster.manifest import read_latest
    from ..cluster.store import opened_store

    require_no_root(root)
    config = read_config(path)
    return gathered_index(config, read_latest(opened_store(config.store)))


def require_no_root(root: Path | None) -> None:
    """Raise ParameterError if somebody says where the pictures of a cluster are."""
    if root is not None:
        raise ParameterError("--root: the file of a cluster says where its pictures are")


def require_index(path: Path) -> None:
    """Raise ParameterError for a cluster."""
    from ..cluster.config import is_cluster

    if is_cluster(path) and path.exists():
        raise ParameterError(
            f"{path}: is a cluster, and this works on one index alone; `bovw cluster --help` says "
            "what changes and checks a cluster"
        )
