"""Install order of packages."""


class CycleError(Exception):
    """Packages need each other. `cycle` is the list of names, from the smallest name round to itself."""

    def __init__(self, cycle):
        super().__init__(" -> ".join(cycle))
        self.cycle = cycle


def order(needs):
    """Return all packages, each after everything that it needs.

    `needs` maps a name to the names it needs; names that appear only as a need count as packages without needs.
    Wherever several packages could be next, the alphabetically smallest is taken: {"b": [], "a": ["c"]} gives
    ["b", "c", "a"]. If there is a cycle, raises CycleError with the cycle of it, such as ["a", "b", "a"]; of
    several any. A package that needs itself is a cycle too. Chains may be 100,000 packages long.
    """
    done = []

    def visit(name):
        if name in done:
            return
        for need in needs[name]:
            visit(need)
        done.append(name)

    for name in needs:
        visit(name)
    return done
