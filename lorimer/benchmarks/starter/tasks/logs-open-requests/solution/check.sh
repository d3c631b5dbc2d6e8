python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import gzip, json
got = json.load(open("unfinished.json"))
text = gzip.open("log/server.log.2.gz", "rt").read() + open("log/server.log.1").read() + open("log/server.log").read()
lines = text.splitlines()
begins = [i for i, l in enumerate(lines) if l.split()[3] == "begin"]
want = []
for i in begins:
    r = lines[i].split()[2]
    for l in lines[i + 1:]:
        w = l.split()
        if w[2] == r and w[3] in ("end", "aborted"):
            break
        if w[2] == "server":
            want.append((lines[i][:19], r, "restart")); break
    else:
        want.append((lines[i][:19], r, "open"))
if len(got) != len(want):
    sys.exit(print(f"PROBLEM: {len(got)} requests listed, {len(want)} of all {len(begins)} begins have no end"))
if [(g["started"], g["request"], g["end"]) for g in got] != sorted(want):
    sys.exit(print("PROBLEM: order, begin times or the kind of end are wrong"))
print("OK")
EOF
