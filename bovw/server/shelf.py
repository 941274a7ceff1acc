"""What is served, as a process has it: indexes and clusters, opened once, each at its newest
generation whenever it is asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..cluster.cluster_index import ClusterIndex
from ..cluster.config import ClusterConfig, is_cluster, read_config
from ..cluster.machines import opened_replicas, shared_config
from ..cluster.manifest import ClusterManifest
from ..errors import BovwError, IndexClosedError, ParameterError
from ..features.vocabulary import Vocabulary
from ..image_index import ImageIndex

__all__ = ["Place", "Served", "Shelf", "source_of"]

Served = ImageIndex | ClusterIndex
# The folder of an index, or what is said of a cluster.
Place = Path | ClusterConfig
# How often somebody looks whether a cluster has moved on: its store may be far away.
WATCH_SECONDS = 5.0
# By so much the processes that search and decode stand back.
NICENESS = 5


def source_of(path: Path, picture_root: Path | None, seconds: float) -> Place:
    """Where something to be served is.

    Args:
        path: of an index or, a TOML file, of a cluster.
        picture_root: where the pictures of an index are now.
        seconds: that a request may take: a shard of a cluster that takes half as long is missing.

    Raises:
        ClusterError, ParameterError: the cluster cannot be used so.
    """
    if not is_cluster(path):
        return path
    if picture_root is not None:
        raise ParameterError(f"picture_root: {path} says where the pictures of its cluster are")
    config = read_config(path)
    return replace(config, timeout_seconds=min(config.timeout_seconds, seconds / 2))


class Shelf:
    """Indexes and clusters by their names."""

    def __init__(self, places: Mapping[str, Place], picture_root: Path | None) -> None:
        self._places, self._picture_root = dict(places), picture_root
        self._opened: dict[str, Served] = {}
        self._newer: dict[str, ClusterManifest] = {}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The one that pictures are compared with."""
        return Vocabulary.shipped()

    def for_processes(self) -> Shelf:
        """The same for other processes, which ask the replicas that this one has started."""
        places = {
            name: shared_config(place) if isinstance(place, ClusterConfig) else place
            for name, place in self._places.items()
        }
        return Shelf(places, self._picture_root)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a process of its own: open all now, so that the first who asks does not wait; and let
        the server's process go first, which has to answer everybody.
        """
        os.nice(NICENESS)
        self.__dict__.update(state)
        for name in self._places:
            with suppress(BovwError):  # whoever asks for it is told
                self.index(name)

    def close(self) -> None:
        """Close all: nobody watches any more."""
        for index in self._opened.values():
            index.close()

    def is_cluster(self, name: str) -> bool:
        """Whether a name is that of a cluster."""
        return isinstance(self._places[name], ClusterConfig)

    def index(self, name: str) -> Served:
        """An index or a cluster of a name, at its newest generation; that of a cluster is the last
        one that `_watch` knows of. Raises ImageIndexError or ClusterError.
        """
        if name not in self._opened:
            self._opened[name] = self._open(name)
        index = self._opened[name]
        if isinstance(index, ImageIndex):
            index.refresh()
        elif newer := self._newer.pop(name, None):
            index.move_to(newer)
        return index

    def another(self, name: str) -> ImageIndex:
        """An index of a name, opened for whoever changes and closes it. Raises ImageIndexError, or
        ParameterError for a cluster.
        """
        place = self._places[name]
        if isinstance(place, ClusterConfig):
            raise ParameterError(f"{name}: is a cluster, which `bovw cluster` alone changes")
        return ImageIndex.open(place, picture_root=self._picture_root)

    def _open(self, name: str) -> Served:
        """Open what has a name."""
        place = self._places[name]
        if not isinstance(place, ClusterConfig):
            return self.another(name)
        cluster = ClusterIndex(place, opened_replicas(place))
        threading.Thread(target=self._watch, args=(name, cluster), daemon=True).start()
        return cluster

    def _watch(self, name: str, cluster: ClusterIndex) -> None:
        """Have the shards open what is asked, and each generation that comes."""
        with suppress(BovwError):  # whoever asks is told
            cluster.ready()
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                newer = cluster.newer()
            except IndexClosedError:
                return
            except BovwError:  # it stays where it is
                continue
            if newer:
                self._newer[name] = newer
