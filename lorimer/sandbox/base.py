"""What every sandbox provider offers: task sandboxes, harness jails, images.

A *task sandbox* is the benchmark's world: the agent acts in it as whatever user the image has. A *jail* runs the harness file,
which a model wrote: no network, no host files, nothing but a pipe. `tests/sandbox/test_conformance.py` runs on every provider.

What a model can react to (non-zero exit, timeout, missing file) is a value; `SandboxError` means a sandbox or engine that failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from lorimer.sandbox.preload import NOTHING, Preload
from lorimer.sandbox.streams import OUTPUT_LIMIT

if TYPE_CHECKING:
    from lorimer.sandbox.series import Series


@dataclass(frozen=True)
class PulledImage:
    """An image by name: used as it is if the engine has it, else pulled."""

    name: str


@dataclass(frozen=True)
class BuiltImage:
    """A build context: a folder with a Dockerfile. Built once per content digest."""

    context: Path
    dockerfile: str = "Dockerfile"
    build_timeout: float = 600.0
    """Seconds."""
    args: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    """The stage that is built; `None` is the last."""
    without: frozenset[str] = frozenset()
    """Paths of files in the context, relative to it, that the build does not see; `.dockerignore` holds beside it."""


@dataclass(frozen=True)
class PythonImage:
    """Any environment with a shell and Python 3.10+, plus some pure-Python packages; all that the starter tasks need.

    Docker builds it from `[sandbox] python_image`; bubblewrap serves it from the host's interpreter.
    """

    packages: tuple[str, ...] = ()
    """Import names of installed top-level packages to make importable (`openpyxl`, `et_xmlfile`)."""


ImageSpec = PulledImage | BuiltImage | PythonImage


@dataclass(frozen=True)
class SandboxLimits:
    """What a sandbox may use. `None` means the provider's own maximum."""

    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    pids: int = 512
    network: bool = False
    hosts: tuple[str, ...] | None = None
    """Where a network leads: to these names (`*.` before one: any below it), addresses and ranges; `None` is everywhere."""


@dataclass(frozen=True)
class Egress:
    """Where the network of a task leads that has one, through a proxy that says what it was asked for."""

    hosts: tuple[str, ...] = ()
    """Names that may be reached; `*.` before one: any below it; `:port` after one: another than 80 and 443."""
    public: bool = False
    """Any other host too that is on the public internet."""


@dataclass(frozen=True)
class Health:
    """How the engine finds out whether a service is healthy."""

    test: tuple[str, ...]
    """`CMD` and words, or `CMD-SHELL` and a line."""
    interval: float = 30.0
    """Seconds, as all below."""
    timeout: float = 30.0
    start_period: float = 0.0
    retries: int = 3


@dataclass(frozen=True)
class Service:
    """One container of a group. Of the agent's own, image, command, environment and user come from the request instead."""

    name: str
    """The name by which the others reach it."""
    image: ImageSpec | None
    command: tuple[str, ...] | None = None
    """`None` is the image's own; so is `entrypoint`'s."""
    entrypoint: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    health: Health | None = None
    after: tuple[tuple[str, str], ...] = ()
    """Services that come first, and what of: `service_started`, `service_healthy` or `service_completed_successfully`."""
    networks: tuple[tuple[str, tuple[str, ...]], ...] = (("default", ()),)
    """Networks of the group that it is on, each with further names by which it is reached there."""
    volumes: tuple[tuple[str, str], ...] = ()
    """Volumes of the group, and their places."""
    copies: tuple[tuple[Path, str], ...] = ()
    """Host files and folders that are copied in before it starts."""
    tmpfs: tuple[str, ...] = ()
    hostname: str | None = None
    read_only: bool = False
    restarts: bool = False
    """Start it again when it fails."""
    shm_mb: int | None = None
    """The size of `/dev/shm`; `None` is the engine's 64."""
    cap_drop: tuple[str, ...] = ()
    limits: SandboxLimits = SandboxLimits()


@dataclass(frozen=True)
class Network:
    """A network of a group."""

    name: str
    internal: bool = False
    """Closed, whatever the task may otherwise reach."""


@dataclass(frozen=True)
class Group:
    """What is made around a task's sandbox, and goes with it."""

    main: Service
    services: tuple[Service, ...] = ()
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a sandbox of a task is to be, as far as a provider may be unable to make it."""

    image: ImageSpec
    limits: SandboxLimits
    group: Group | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a provider can make no sandbox of some kind on this machine, however often it is asked."""

    what: str
    """What a task asks for: `a network`."""
    why: str
    """Why it cannot have it, as a whole clause: `bubblewrap has none to give`."""
    fix: str
    """What the user can do."""


@dataclass(frozen=True)
class Owner:
    """Whom a container belongs to; becomes the labels by which a later process finds leftovers."""

    study: str
    trial: str


@dataclass(frozen=True)
class SandboxRequest:
    """One task sandbox to be made."""

    image: str
    """What `SandboxProvider.prepare` returned."""
    owner: Owner
    limits: SandboxLimits = SandboxLimits()
    workdir: str | None = None
    """Where commands start; `None` takes the image's own. Created if missing."""
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: bool = True
    """Run the image's own ENTRYPOINT first, where it has one and the provider has images."""
    group: Group | None = None
    """Further containers; their networks lead out only where `limits.network` says so."""


@dataclass(frozen=True)
class JailRequest:
    """One jail to be made: a process that reads and writes lines."""

    argv: Sequence[str]
    """The program, first `python3`. Its environment is PATH, HOME, LANG and PYTHONHASHSEED=0: a set of texts has one order."""
    owner: Owner
    memory_mb: int = 512
    pids: int = 128
    cpus: float = 1.0
    scratch_mb: int = 64
    """Size of the one writable place, a tmpfs at /tmp."""
    preload: Preload = NOTHING

    @property
    def inodes(self) -> int:
        """Files that the scratch may hold: one for 16 KiB. Empty ones take no space, but a kilobyte each of the kernel's."""
        return max(self.scratch_mb << 6, 1024)


@dataclass(frozen=True)
class ExecOutput:
    """What a command left behind. Of a stream over `output_limit` bytes the head and the tail are kept."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None
    """`None` when it timed out; 128+n for a process that died of signal n."""
    timed_out: bool = False
    stdout_dropped: int = 0
    """Bytes cut from the middle of stdout."""
    stderr_dropped: int = 0
    duration: float = 0.0
    """Seconds of wall time."""


class SandboxFileError(Exception):
    """An expected file failure, a value for the harness: missing, a directory, too large, not permitted."""


@dataclass(frozen=True)
class Packed:
    """What `Sandbox.pack` took."""

    path: str
    """Absolute; where it lay, and where `unpack` will put it."""
    is_folder: bool
    files: int
    bytes: int
    left_out: int = 0
    """Devices, pipes, sockets, and symlinks that lead out of it."""
    examples: tuple[str, ...] = ()
    """Names of some of them."""


MOST_CHANGES = 250_000
"""Paths that `Sandbox.changed_files` gives at most. A large installation writes some 100,000; an agent can make many millions."""
DEEPEST_CHANGE = 100
"""Folders above a path that `Sandbox.changed_files` gives at most. Beyond some thousands no path can be named."""


@dataclass(frozen=True)
class Changes:
    """What `Sandbox.changed_files` found."""

    paths: tuple[str, ...]
    """Absolute, sorted: all that differs from the image, what was removed too, as far as `cut` does not say otherwise."""
    links: frozenset[str] | None = None
    """Those that are symlinks; `None` where only a command in the sandbox can tell."""
    removed: frozenset[str] = frozenset()
    """Those that are there no more."""
    cut: bool = False
    """There is more than `MOST_CHANGES`, deeper than `DEEPEST_CHANGE`, or where nobody could look."""


class Sandbox(Protocol):
    """One task's world. Not shared, not reused. `close` is idempotent; anything else after it raises SandboxError."""

    @property
    def id(self) -> str:
        """The engine's name for it, for logs."""

    @property
    def workdir(self) -> str:
        """The folder in which commands run that name none: the request's, else the image's. Absolute."""

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The words of its image's own ENTRYPOINT, which starts it whenever it is started; empty where none does."""

    @property
    def search_path(self) -> tuple[str, ...]:
        """The folders in which its commands look for programs, as the image or the request says; nothing in it can say else."""

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecOutput:
        """Run `command` in the sandbox's shell (bash where the image has it, else sh) and wait for it.

        After `timeout` seconds the command and every process in its session are killed. A provider that cannot kill them ends
        every process of the sandbox instead, and says so at the end of `stderr`. Memory use on the host stays
        bounded by `output_limit` bytes per stream however much the command prints. Calls may run concurrently.
        """

    def series(self, *, env: Mapping[str, str] | None = None, user: str | None = None) -> Series:
        """What an agent acts by: commands like those of `exec`, for which the provider may prepare. To be closed at its end."""

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        """The file's bytes. Follows symlinks inside the sandbox only. Raises SandboxFileError."""

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write one file, making its parent folders. Raises SandboxFileError."""

    async def put_tree(self, source: Path, target: str) -> None:
        """Copy the host folder's content into `target` (made if missing), owned by root, modes kept.
        Symlinks in `source` that leave it are refused with SandboxFileError."""

    async def restart(self, *, look: bool = False) -> Changes | None:
        """Kill every process and start again with the same file system: a new PID 1, empty tmpfs mounts.
        With `look` it says what differed from the image before anything was started again."""

    async def changed_files(self) -> Changes:
        """What differs from the image. Nothing is run in the sandbox for it."""

    async def hosts(self) -> tuple[str, ...] | None:
        """Hosts that it asked lorimer's proxy for, as `name:port`, and ` (refused)` after those it was not let through to.
        Empty without a network; `None` where the network is open, so that nobody saw."""

    def service(self, name: str) -> Sandbox:
        """Another container of its group, for commands and files. Raises SandboxError where there is none of that name."""

    async def freeze(self) -> None:
        """Let no process in it run until `resume`; till then only `changed_files`, `pack`, `branch` and `close` may be called.
        Raises PrerequisiteError where the provider cannot do this, `pack`, `unpack` and `branch`."""

    async def resume(self) -> None:
        """Let its processes run on."""

    async def branch(self) -> Sandbox:
        """A new sandbox with a copy of this one's files, volumes too, and none of its processes; this one stays."""

    async def pack(self, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str] = ()) -> Packed:
        """Write a tar of the file or the folder at `path` into `archive`, for `unpack`.

        A symlink at `path` itself is followed, in the sandbox. In the tar only folders, regular files and symlinks that stay
        inside are kept, all owned by root, without setuid bits. Names that match one of `exclude` (as of GNU tar's) are left
        out. Raises SandboxFileError: missing, over `max_bytes`, neither file nor folder.
        """

    async def unpack(self, archive: IO[bytes]) -> None:
        """Put in, at the same path, what `pack` of any sandbox wrote. Raises SandboxFileError."""

    async def running(self) -> bool:
        """Whether it still runs, as far as its engine knows. Raises EngineOutage."""

    async def close(self) -> None:
        """Kill and remove, at once (SIGKILL), shielded from cancellation."""


@dataclass(frozen=True)
class JailExit:
    """How a jail ended."""

    exit_code: int | None
    """128+n for signal n; `None` where unknown."""
    out_of_memory: bool = False
    stderr: bytes = b""
    """Head and tail of what it printed, at most 64 KiB."""
    stderr_dropped: int = 0


class LineTooLong(Exception):
    """The jail sent more than the allowed bytes without a newline."""


class Jail(Protocol):
    """A running harness process. Its stdout is the wire; `print` goes to stderr, which is kept and capped."""

    @property
    def id(self) -> str:
        """The engine's name for it, for logs."""

    async def send(self, line: bytes) -> None:
        """Write one line (the newline is added). A jail that is gone swallows it silently: `receive` will say so."""

    async def receive(self) -> bytes | None:
        """The next line without its newline; `None` at the stream's end and once closed. Raises LineTooLong past 16 MiB."""

    async def wait(self) -> JailExit:
        """Wait until the process has ended. Raises SandboxError where the connection to it ended and it did not."""

    async def running(self) -> bool:
        """Whether its process still runs, as far as its engine knows. Raises EngineOutage."""

    async def close(self) -> None:
        """Kill and remove it with everything in it. Idempotent, shielded from cancellation."""


@dataclass(frozen=True)
class RemovedImages:
    """What `SandboxProvider.remove_images` did."""

    removed: int
    kept: int = 0
    """Images that a container uses, so that they are still there."""
    bytes: int = 0
    """The disk that the engine has again; images share layers, so less than the sum of their sizes."""


class SandboxProvider(Protocol):
    """Makes sandboxes and jails of one kind."""

    @property
    def name(self) -> str:
        """`docker`, `bubblewrap` or `fake`."""

    @property
    def jails(self) -> str:
        """The name of what makes its jails: its own, or another's that serves beside it."""

    def refusal(self, needs: Needs) -> Refusal | None:
        """Why this provider can never make such a sandbox; `None` where it can. Asked before anything is run."""

    async def prepare(self, spec: ImageSpec) -> str:
        """Build, pull or find the image once and return its id; concurrent calls for one digest share the work.
        Raises ImageError; PrerequisiteError when the spec is of a kind that this provider cannot serve."""

    async def image_bytes(self, image: str) -> int | None:
        """Size of an image that `prepare` returned; `None` where images are no things of their own. Raises SandboxError."""

    async def image_digest(self, image: str) -> str:
        """What tells a prepared image from others: sandboxes of one digest begin with the same files. Raises SandboxError."""

    async def remove_images(self) -> RemovedImages:
        """Remove the images that lorimer built, on this machine by any process of it; they are built again when needed.
        Pulled images stay: others may use them. Raises SandboxError."""

    async def acquire(self, request: SandboxRequest) -> Sandbox:
        """A new, running sandbox. Raises SandboxError."""

    async def jail(self, request: JailRequest) -> Jail:
        """A new, running jail. Raises SandboxError, or PrerequisiteError when the jail image is missing."""

    async def answers(self) -> None:
        """Ask the engine whether it is there, which takes it a moment. Raises EngineOutage, PrerequisiteError where it is not."""

    async def reap(self) -> int:
        """Remove what dead lorimer processes left behind; returns how many things were removed.
        Raises NotRemoved where something stays."""

    async def close(self) -> None:
        """Close connections and remove what this process still holds. Raises NotRemoved where something stays."""
