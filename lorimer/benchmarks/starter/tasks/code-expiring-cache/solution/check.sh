python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True

from cache import Cache
now = [0]
c = Cache(2, 10, lambda: now[0])
c.put("a", 0); c.put("b", 2)
if c.get("a", "gone") != 0:
    sys.exit(print("PROBLEM: a stored 0 is not found"))
c.put("c", 3)
if c.get("a") != 0 or c.get("b") is not None:
    sys.exit(print("PROBLEM: not the least recently used entry was evicted"))
now[0] = 5; c.put("c", 4); now[0] = 10
if len(c) != 1 or c.get("a", "gone") != "gone":
    sys.exit(print("PROBLEM: an entry of exactly ttl seconds counts as alive"))
c = Cache(2, 10, lambda: now[0])
now[0] = 0; c.put("x", 1); now[0] = 5; c.put("y", 2); c.get("x"); now[0] = 11; c.put("z", 3)
if c.get("y") != 2:
    sys.exit(print("PROBLEM: a living entry was evicted although an expired one was there"))
print("OK")
EOF
