#!/usr/bin/env python3
"""count.py [-w | -l] [--] [FILE ...]: count words or lines. See usage.md."""

import sys


def main():
    mode = "-w"
    total = 0
    for name in sys.argv[1:]:
        if name in ("-w", "-l"):
            mode = name
            continue
        text = open(name).read()
        n = len(text.split(" ")) if mode == "-w" else len(text.split("\n"))
        print(n, name)
        total += n
    print(total, "total")


main()
