python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True
from bill import split
for cents, weights in [(100, [1, 1, 1]), (1000, [3, 3, 1]), (2, [1, 1, 1]), (10**18 + 7, [1, 1, 1]), (999, [1, 0, 2])]:
    up, down = split(cents, weights), split(-cents, weights)
    if sum(up) != cents or any(type(share) is not int for share in up):
        sys.exit(print(f"PROBLEM: split({cents}, {weights}) gives {up}, sum {sum(up)}"))
    if down != [-share for share in up]:
        sys.exit(print(f"PROBLEM: split(-{cents}, {weights}) does not mirror split({cents}, {weights})"))
if split(1000, [3, 3, 1]) != [429, 428, 143]:
    sys.exit(print("PROBLEM: split(1000, [3, 3, 1]) must be [429, 428, 143]"))
for weights in ([], [0, 0], [1, -1, 3]):
    try:
        sys.exit(print(f"PROBLEM: split(100, {weights}) gives {split(100, weights)}, not ValueError"))
    except ValueError:
        pass
print("OK")
EOF
