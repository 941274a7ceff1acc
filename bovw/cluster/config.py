"""What is said of a cluster in one TOML file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ClusterError, ParameterError

__all__ = ["ClusterConfig", "is_cluster", "read_config", "write_config"]

HEADER = "# A cluster of bovw: docs/cluster.md says what each line means.\n"
MOST_SHARDS = 4096


@dataclass(frozen=True)
class ClusterConfig:
    """What is said of a cluster.

    Attributes:
        store: where committed bytes are: s3://bucket/prefix, or a folder that all machines share.
        shards: in how many parts the collection is; fixed when it is created.
        picture_root: the folder of the pictures, at the same path on all machines.
        cache: a folder of each machine for what is fetched from the store.
        replicas: how many processes answer for each shard.
        hedge_seconds: after so long without an answer another replica is asked, too.
        timeout_seconds: after so long a shard counts as missing.
        partial: whether an answer without some shards is better than none.
        address: of the head of a Ray cluster, HOST:PORT; empty starts one on this machine.
    """

    store: str
    shards: int
    picture_root: str
    cache: str
    replicas: int = 1
    hedge_seconds: float = 1.0
    timeout_seconds: float = 60.0
    partial: bool = False
    address: str = ""

    def __post_init__(self) -> None:
        checks = {
            "store": bool(self.store),
            "shards": type(self.shards) is int and 1 <= self.shards <= MOST_SHARDS,
            "picture_root": os.path.isabs(self.picture_root),
            "cache": os.path.isabs(self.cache),
            "replicas": type(self.replicas) is int and 1 <= self.replicas <= 64,
            "hedge_seconds": self.hedge_seconds > 0,
            "timeout_seconds": self.timeout_seconds > 0,
            "partial": isinstance(self.partial, bool),
            "address": isinstance(self.address, str),
        }
        for name, sound in checks.items():
            if not sound:
                raise ParameterError(f"{name}: {getattr(self, name)!r} cannot be used")


def is_cluster(path: Path) -> bool:
    """Whether a path names a cluster rather than an index: by a file that ends in .toml."""
    return path.suffix == ".toml" and not path.is_dir()


def read_config(path: str | os.PathLike[str]) -> ClusterConfig:
    """What a file says. Raises ClusterError."""
    name = os.fspath(path)
    try:
        values: dict[str, Any] = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ClusterError(f"{name}: there is no cluster here: bovw cluster create") from None
    except (OSError, ValueError) as error:
        raise ClusterError(f"{name}: cannot be read: {error}") from error
    unknown = set(values) - {field.name for field in fields(ClusterConfig)}
    if unknown:
        raise ClusterError(f"{name}: {', '.join(sorted(unknown))} is unknown")
    try:
        return ClusterConfig(**values)
    except (TypeError, ParameterError) as error:
        raise ClusterError(f"{name}: {error}") from error


def write_config(path: str | os.PathLike[str], config: ClusterConfig) -> None:
    """Write a new file. Raises ClusterError if there is one."""
    lines = [f"{field.name} = {toml_of(getattr(config, field.name))}" for field in fields(config)]
    try:
        with open(path, "x") as file:
            file.write(HEADER + "\n".join(lines) + "\n")
    except FileExistsError:
        raise ClusterError(f"{os.fspath(path)}: is there already") from None
    except OSError as error:
        raise ClusterError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error


def toml_of(value: str | bool | int | float) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
