python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True
from durations import format_duration, parse_duration
for text, want in {"1h 30m": 5400, "5M": 300, "2w": 1209600, "0": 0, "1.5h": 5400, "2.5s": 3, " 90s ": 90}.items():
    if parse_duration(text) != want:
        sys.exit(print(f"PROBLEM: {text!r} is {want} seconds, not {parse_duration(text)}"))
for text in ("", "10", "30m1h", "5m5m", "5 m", "-5m", "1.5h30m", "5m x"):
    try:
        sys.exit(print(f"PROBLEM: {text!r} is an error in SPEC.md, not {parse_duration(text)}"))
    except ValueError:
        pass
if format_duration(694861) != "1w1d1h1m1s" or format_duration(0) != "0":
    sys.exit(print("PROBLEM: format_duration lacks weeks or zero"))
print("OK")
EOF
