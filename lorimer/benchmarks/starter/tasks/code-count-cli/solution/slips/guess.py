from pathlib import Path

Path("count.py").write_text(r'''#!/usr/bin/env python3
import argparse

parser = argparse.ArgumentParser(description="Count words or lines")
parser.add_argument("files", nargs="+")
parser.add_argument("-w", "--words", action="store_true")
parser.add_argument("-l", "--lines", action="store_true")
args = parser.parse_args()
total = 0
for name in args.files:
    with open(name) as f:
        text = f.read()
    n = len(text.splitlines()) if args.lines else len(text.split())
    print(f"{n} {name}")
    total += n
print(f"{total} total")
''')
