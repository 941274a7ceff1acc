"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ParameterError
from ..pictures.limits import Limits

__all__ = ["FORM_BYTES", "SERVER_LIMITS", "ServerSettings", "default_cache", "is_loopback"]

# What a picture may cost by default: less than on the command line, as anybody may ask.
SERVER_LIMITS = Limits(pixels=200_000_000, file_bytes=50_000_000, seconds=30.0)
# Bytes of a body beside the picture in it.
FORM_BYTES = 65_536


@dataclass(frozen=True)
class ServerSettings:
    """What a server serves, and to whom.

    Attributes:
        indexes: folders of indexes, and TOML files of clusters; the first is asked where none is
            named.
        picture_root: where the pictures are now, if they have moved without their index.
        host: the address to listen at.
        port: 0 for any that is free.
        token: what callers must know; None if nobody else can call.
        allow_hosts: names beside those of this machine that a request may be for.
        allow_paths: folders whose pictures a request may name by their paths.
        experiments: a folder of saved evaluations, or None.
        writable: whether images may be added and removed.
        upload_to: the folder for pictures that are added.
        limits: what a picture may cost.
        jobs: processes that search.
        waiting: requests that may wait for one of them.
        cache: the folder for thumbnails, uploaded queries and what surveys found.
        cache_bytes: that it may hold.
        body_seconds: for a request to arrive.
        drain_seconds: for answers that are under way when the server is told to end.

    Raises:
        ParameterError: settings that are unsafe, or do not fit together.
    """

    indexes: Sequence[Path]
    picture_root: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8717
    token: str | None = None
    allow_hosts: Sequence[str] = ()
    allow_paths: Sequence[Path] = ()
    experiments: Path | None = None
    writable: bool = False
    upload_to: Path | None = None
    limits: Limits = SERVER_LIMITS
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    waiting: int = 32
    cache: Path = field(default_factory=lambda: default_cache())
    cache_bytes: int = 500_000_000
    body_seconds: float = 30.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not self.indexes:
            raise ParameterError("indexes: name at least one index")
        if not is_loopback(self.host) and not self.token:
            raise ParameterError(
                f"host: {self.host} can be reached from elsewhere: give a token as well "
                "(--token or BOVW_TOKEN)"
            )
        if self.token is not None and len(self.token) < 8:
            raise ParameterError("token: is shorter than 8 characters, which can be guessed")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise ParameterError("token: has characters that no header can hold; take ASCII ones")
        if self.upload_to is not None and not self.writable:
            raise ParameterError("upload_to: nothing is added to an index that is not writable")
        if self.jobs < 1 or self.waiting < 0:
            raise ParameterError("jobs, waiting: at least 1 process, and no fewer than 0 waiting")
        for folder in (*self.allow_paths, self.experiments, self.upload_to):
            if folder is not None and not Path(folder).is_dir():
                raise ParameterError(f"{folder}: there is no such folder")

    @property
    def body_bytes(self) -> int:
        """The length of a request's body at most."""
        return self.limits.file_bytes + FORM_BYTES

    @property
    def host_names(self) -> frozenset[str]:
        """The names that a request may be for, in lower case."""
        names = {"localhost", "127.0.0.1", "::1", *self.allow_hosts}
        return frozenset(name.lower() for name in names)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_cache() -> Path:
    """Where thumbnails are kept: the user's folder for such things."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(home):
        home = tempfile.gettempdir()
    return Path(home) / "bovw"
