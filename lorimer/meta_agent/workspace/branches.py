"""Names of branches for promotions that the current branch cannot take."""

from __future__ import annotations

from collections.abc import Collection


def branch_of(study: str) -> str:
    """`lorimer/<study>`, as git takes it: no `..`, no dot at an end, no `.lock`."""
    name = study.replace("..", "-").strip(".").removesuffix(".lock")
    return f"lorimer/{name or 'study'}"


def possible(branch: str, listed: Collection[str]) -> str:
    """The name of a branch, with dashes for its folders where one of those `listed` stands in its way, as `lorimer` does: a name
    is a file or a folder for git."""
    fits = not any(name.startswith(f"{branch}/") or branch.startswith(f"{name}/") for name in listed)
    return branch if fits else branch.replace("/", "-")


def side_branch(study: str, listed: Collection[str], taken: Collection[str]) -> str:
    """The branch of a study's promotions: the one that was made last, else a new one.

    Args:
        listed: all branches that are there.
        taken: those that are checked out, whose files would not follow what lorimer adds.
    """
    first = possible(branch_of(study), listed)
    names = (first, *(f"{first}+{number}" for number in range(2, len(listed) + 2)))
    free = [name for name in names if name not in taken]
    return next((name for name in reversed(free) if name in listed), free[0])
