python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
sys.path.insert(0, "."); sys.dont_write_bytecode = True
import rooms
if rooms.merge(((480, 720), (540, 570), (720, 780))) != [[480, 780]]:
    sys.exit(print("PROBLEM: merge loses time of overlapping or touching bookings"))
if rooms.merge([[5, 5]]) != []:
    sys.exit(print("PROBLEM: merge keeps an empty booking, the docstring says that they are ignored"))
try:
    sys.exit(print("PROBLEM: merge([[9, 3]]) gave %r, not ValueError" % rooms.merge([[9, 3]])))
except ValueError:
    pass
if rooms.free([[300, 400]], 480, 1020) != [[480, 1020]] or rooms.free([[1100, 1200]], 480, 1020) != [[480, 1020]]:
    sys.exit(print("PROBLEM: free leaves the opening hours"))
print("OK")
EOF
