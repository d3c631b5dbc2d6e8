"""Whether Harbor's own validator takes what `lorimer traces export --to atif` wrote.

    python3.12 -m venv /tmp/harbor && /tmp/harbor/bin/pip install 'harbor>=0.26'
    lorimer traces export --to atif -o out
    /tmp/harbor/bin/python tools/validate_atif.py out

Harbor needs Python 3.12, so `make test-hostile` alone asks it (tests/exports/test_elsewhere.py), where there is one;
tests/exports/test_trajectories.py holds the same rules.
"""

import sys
from pathlib import Path

from harbor.utils.trajectory_validator import TrajectoryValidator


def main() -> int:
    files = sorted(Path(sys.argv[1]).glob("*.json"))
    refused = 0
    for file in files:
        validator = TrajectoryValidator()
        if not validator.validate(file):
            refused += 1
            sys.stderr.write(f"{file}: {'; '.join(validator.errors)}\n")
    sys.stdout.write(f"{len(files) - refused} of {len(files)} trajectories are valid\n")
    return 1 if refused or not files else 0


if __name__ == "__main__":
    raise SystemExit(main())
