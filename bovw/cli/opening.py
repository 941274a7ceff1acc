"""What a command asks: an index or, named by its TOML file, a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ParameterError

if TYPE_CHECKING:
    from ..cluster.cluster_index import ClusterIndex
    from ..image_index import ImageIndex

__all__ = ["opened_index", "opened_searcher", "require_index"]


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

    if root is not None:
        raise ParameterError("--root: the file of a cluster says where its pictures are")
    config = read_config(path)
    return ClusterIndex(config, opened_replicas(config))


def opened_index(path: Path, root: Path | None = None) -> ImageIndex:
    """The index in a folder, for a command that works on nothing else. Raises ParameterError for a
    cluster.
    """
    from ..image_index import ImageIndex

    require_index(path)
    return ImageIndex.open(path, picture_root=root)


def require_index(path: Path) -> None:
    """Raise ParameterError for a cluster."""
    from ..cluster.config import is_cluster

    if is_cluster(path) and path.exists():
        raise ParameterError(
            f"{path}: is a cluster, and this works on one index; what works on both: search, "
            "similar, evaluate, serve, list, info"
        )
