"""The files of a sandbox: a tmpfs of limited size, and on it what bwrap mounted where sandboxes are forked from."""

from __future__ import annotations

import os

from .kernel import (
    MNT_DETACH,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    check,
    libc,
    mount,
    suppress,
)
from .namespaces import mount_own

BUILT_AT = "/tmp"  # noqa: S108  (a folder that is there, and that nobody uses where sandboxes are forked)


class Root:
    """What is at `/` where sandboxes are forked from, read once, and made for each of them.

    Args:
        folders: those of `/` itself, the upper ones first.
        links: path -> target.
        mounted: path -> whether it is a folder. What is mounted below such a path comes with it.
    """

    def __init__(self, folders: list[str], links: dict[str, str], mounted: dict[str, bool]) -> None:
        self.folders, self.links, self.mounted = folders, links, mounted

    @classmethod
    def here(cls) -> Root:
        """The one of this process."""
        mounted: dict[str, bool] = {}
        for point in sorted(_mount_points()):
            if point != "/" and not any(point.startswith(f"{above}/") for above in mounted):
                mounted[point] = os.path.isdir(point)  # noqa: PTH112
        root = cls([], {}, mounted)
        for folder, folders, files in os.walk("/"):
            paths = {os.path.join(folder, name): name for name in [*folders, *files]}  # noqa: PTH118
            root.links |= {path: os.readlink(path) for path in paths if os.path.islink(path)}  # noqa: PTH114, PTH115
            own = [path for path in paths if path not in mounted and path not in root.links]
            folders[:] = [paths[path] for path in own if paths[path] in folders]
            root.folders += [os.path.join(folder, name) for name in folders]  # noqa: PTH118
        return root

    def make(self, size: int, inodes: int, owner: int) -> None:
        """Make one like it and make that this process's own `/`.

        The tmpfs is the agent's, but it can move nothing that something is mounted on or below. A mount point cannot be
        renamed, but the folder above it can, and whoever renames `/root` could put another interpreter at
        `/root/.../bin/python3` for the verifier to run. So each folder above a mount becomes one, too.

        Args:
            size: bytes.
            inodes: files and folders.
            owner: uid and gid of its folders; -1 for this process's own.
        """
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("tmpfs", BUILT_AT, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes={inodes},mode=755")
        for folder in ["", *self.folders]:
            path = BUILT_AT + folder
            if folder:
                os.mkdir(path)  # noqa: PTH102
            os.chmod(path, 0o1777 if folder in ("/tmp", "/var/tmp") else 0o755)  # noqa: PTH101, S108
            os.chown(path, owner, owner)
        for link, target in self.links.items():
            os.symlink(target, BUILT_AT + link)  # noqa: PTH211
        for folder in self.folders:
            if any(point.startswith(f"{folder}/") for point in self.mounted):
                mount(BUILT_AT + folder, BUILT_AT + folder, "", MS_BIND)
        for point, is_folder in self.mounted.items():
            path = BUILT_AT + point
            if is_folder:
                os.mkdir(path)  # noqa: PTH102
            else:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            if point != "/proc":
                mount(point, path, "", MS_BIND | MS_REC)
        mount_own(BUILT_AT)
        os.chdir(BUILT_AT)
        # The old root comes to lie on the new one and is taken off it, see pivot_root(2).
        check(libc.pivot_root(b".", b"."), "pivot_root")
        check(libc.umount2(b".", MNT_DETACH), "umount")
        os.chdir("/")

    def repair(self) -> None:
        """Put back `/bin`, `/lib` and the like if the agent replaced them: the verifier runs what is there."""
        for path, target in self.links.items():
            found = None
            with suppress(OSError):
                found = os.readlink(path)  # noqa: PTH115
            if found == target:
                continue
            with suppress(OSError):
                os.rename(path, f"{path}.replaced-{os.urandom(4).hex()}")  # noqa: PTH104
            os.symlink(target, path)  # noqa: PTH211


def _mount_points() -> set[str]:
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123
        # The kernel writes spaces and the like as octal numbers.
        return {os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")) for line in file}
