import json

bad, tables = 0, {}
for line in open("queries.jsonl"):
    try:
        q = json.loads(line)
    except ValueError:
        bad += 1
        continue
    if q["level"] != "query":
        continue
    took = q["took"]
    ms = float(took[:-2]) if took.endswith("ms") else float(took[:-2]) / 1000 if took.endswith("us") else float(took[:-1]) * 1000
    t = tables.setdefault(q["table"].lower(), [0, 0.0, -1, ""])
    t[0] += 1
    t[1] += ms
    if ms > t[2]:
        t[2], t[3] = ms, q["ts"]
rows = [{"table": k, "queries": n, "total_ms": round(s, 1), "slowest_at": at} for k, (n, s, _, at) in tables.items()]
rows.sort(key=lambda r: r["total_ms"], reverse=True)
json.dump({"malformed": bad, "tables": rows}, open("report.json", "w"), indent=1)
