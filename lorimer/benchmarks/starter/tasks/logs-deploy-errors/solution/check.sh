python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import calendar, json, re
got = json.load(open("deploys.json"))
plan = re.findall(r"\| (\d\d):(\d\d) \| (.*?) \|", open("deploys.md").read())
if [g["deploy"] for g in got] != [p[2] for p in plan]:
    sys.exit(print("PROBLEM: the deploys are not those of deploys.md, in its order"))
for g, (h, m, name) in zip(got, plan):
    at = calendar.timegm((2025, 10, 14, int(h) - 2, int(m), 0))
    mine = [l.split() for l in open("requests.log") if l.split()[1].startswith(name.split()[0] + "-")]
    for key, low in (("before", at - 1800), ("after", at)):
        hits = [w[5] for w in mine if low <= int(w[0]) < low + 1800]
        if g[key] != {"requests": len(hits), "errors": sum(s[0] == "5" for s in hits)}:
            sys.exit(print(f"PROBLEM: {key} {name} at {h}:{m} there are {len(hits)} requests, not {g[key]['requests']}; zone? edges?"))
    rate = [g[k]["errors"] / g[k]["requests"] for k in ("before", "after")]
    if g["worse"] is not (rate[1] > 2 * rate[0]):
        sys.exit(print(f"PROBLEM: worse is wrong for {name}"))
print("OK")
EOF
