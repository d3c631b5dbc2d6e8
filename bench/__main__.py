"""`python -m bench [NAME …]`: what lorimer costs, measured. Without a name, as `make bench`, those of a minute or two."""

from __future__ import annotations

import argparse
import subprocess
import sys

QUICK = {
    "overhead": "seconds that a trial takes beside its model, and what the Docker Engine itself takes for the same work",
    "exec": "how long a command in a container takes as the harness sees it",
    "shadows": "seconds that a preview of 100 recorded trials takes, beside starting Python once for each",
    "lines": "what it costs a harness that the lines which it runs are noted",
    "memory": "memory of a study with many trials at once",
    "store": "steps per second and bytes per step of the trace store",
}
LONG = {
    "dashboard": "seconds to the first byte of each page of the dashboard, and its server's memory, on the store of `traces`",
    "demo": "how often the demo promotes, and whether that holds on sealed tasks: some minutes per seed",
    "gate": "how often each policy promotes what it should and should not: three minutes",
    "gate_errors": "the same where trials errored: a few minutes",
    "pairings": "how often the interval of `same - cross` holds the truth, over simulated grids: two minutes",
    "scale": "how trials on a Ray cluster scale with its workers, and how many the study's process can take: five minutes",
    "throughput": "how near up to 100 trials at once come to the ideal with a model that takes two seconds: ten minutes",
    "traces": "seconds and memory of every command that reads, and how long a running study's loop stands, on a made store of "
    "700 candidates: 15 minutes and 2.5 GB",
}


def main() -> None:
    """Run the measurements that are named; exit 1 where one is over its target."""
    described = "\n".join(f"  {name:11} {what}" for name, what in (QUICK | LONG).items())
    parser = argparse.ArgumentParser(
        "python -m bench", description=f"Measure:\n{described}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", nargs="*", choices=[*QUICK, *LONG], default=list(QUICK), metavar="NAME", help="quick ones"
    )
    names = parser.parse_args().name
    failed = [name for name in names if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode]
    raise SystemExit(f"over its target: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
