python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True

from pkgorder import CycleError, order
for needs, want in [({"b": [], "a": ["c"]}, ["b", "c", "a"]), ({"a": ["z"], "z": [], "m": []}, ["m", "z", "a"])]:
    if order(needs) != want:
        sys.exit(print(f"PROBLEM: order({needs}) is {order(needs)}, not {want}"))
try:
    sys.exit(print("PROBLEM: no CycleError, but %r" % order({"x": ["b"], "b": ["a"], "a": ["b"]})))
except CycleError as error:
    if error.cycle != ["a", "b", "a"]:
        sys.exit(print(f"PROBLEM: the cycle is {error.cycle}, not ['a', 'b', 'a']"))
try:
    order({str(i): [str(i + 1)] for i in range(100000)})
except RecursionError:
    sys.exit(print("PROBLEM: RecursionError on a long chain"))
print("OK")
EOF
