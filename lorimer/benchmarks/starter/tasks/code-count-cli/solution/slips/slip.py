from pathlib import Path

Path("count.py").write_text(r'''#!/usr/bin/env python3
"""count.py [-w | -l] [--] [FILE ...]: count words or lines. See usage.md."""

import sys


def main():
    mode, names = "-w", []
    for arg in sys.argv[1:]:
        if arg in ("-w", "-l"):
            mode = arg
        elif arg.startswith("-") and arg not in ("-", "--"):
            print(f"count.py: unknown option {arg}", file=sys.stderr)
            return 2
        elif arg != "--":
            names.append(arg)
    total = code = 0
    for name in names or ["-"]:
        try:
            text = sys.stdin.read() if name == "-" else open(name).read()
        except OSError:
            print(f"count.py: cannot read {name}", file=sys.stderr)
            code = 1
            continue
        n = len(text.split()) if mode == "-w" else len(text.splitlines())
        print(n, name if names else "")
        total += n
    if len(names) > 1:
        print(total, "total")
    return code


sys.exit(main())
''')
