import json
import re
from collections import defaultdict

malformed, tables = 0, defaultdict(lambda: {"queries": 0, "total_ms": 0.0, "max": 0, "slowest_at": ""})
for line in open("queries.jsonl"):
    try:
        q = json.loads(line)
    except json.JSONDecodeError:
        malformed += 1
        continue
    m = re.search(r"\bFROM\s+(\w+)|\bINTO\s+(\w+)|UPDATE\s+(\w+)", q["query"], re.I)
    t = tables[(m.group(1) or m.group(2) or m.group(3)).lower()]
    t["queries"] += 1
    t["total_ms"] += q["duration_ms"]
    if q["duration_ms"] > t["max"]:
        t["max"], t["slowest_at"] = q["duration_ms"], q["ts"]
rows = [{"table": k, **v} for k, v in tables.items()]
rows.sort(key=lambda r: -r["total_ms"])
json.dump({"malformed": malformed, "tables": rows}, open("report.json", "w"))
