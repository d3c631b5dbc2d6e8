python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True

from settings import read
want = {"": {"serial": "T-3#0042"}, "living room": {"target": "21.5", "label": 'Living "big" # room', "night": "17", "colour": ""},
        "net": {"url": "http://hub.local/?dev=3"}}
got = read(open("example.settings", newline="").read())
if got != want:
    sys.exit(print(f"PROBLEM: example.settings is read as {got}"))
for text in ('p = "a" b', 'p = "abc', "[a", "= 5", "novalue"):
    try:
        sys.exit(print(f"PROBLEM: {text!r} is read as {read(text)}, settings.md says ValueError"))
    except ValueError as error:
        if "1" not in str(error):
            sys.exit(print(f"PROBLEM: no line number in {error}"))
print("OK")
EOF
