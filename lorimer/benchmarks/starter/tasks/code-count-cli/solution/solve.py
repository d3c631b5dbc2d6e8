from pathlib import Path

Path("count.py").write_text(r'''#!/usr/bin/env python3
"""count.py [-w | -l] [--] [FILE ...]: count words or lines. See usage.md."""

import sys


def count(data, mode):
    if mode == "-w":
        return len(data.split())
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def main():
    arguments, mode = sys.argv[1:], "-w"
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        option = arguments.pop(0)
        if option == "--":
            break
        if option not in ("-w", "-l"):
            print(f"count.py: unknown option {option}", file=sys.stderr)
            return 2
        mode = option
    if not arguments:
        print(count(sys.stdin.buffer.read(), mode))
        return 0
    total = status = 0
    for name in arguments:
        try:
            if name == "-":
                data = sys.stdin.buffer.read()
            else:
                with open(name, "rb") as handle:
                    data = handle.read()
        except OSError:
            print(f"count.py: cannot read {name}", file=sys.stderr)
            status = 1
            continue
        number = count(data, mode)
        print(number, name)
        total += number
    if len(arguments) > 1:
        print(total, "total")
    return status


if __name__ == "__main__":
    sys.exit(main())
''')
