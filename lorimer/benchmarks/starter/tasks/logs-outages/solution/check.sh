python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import json
from datetime import datetime
got = json.load(open("outages.json"))
lines = [l for l in open("gateway.log") if l[20:28] == "gateway:"]
T = lambda s: datetime.strptime(s, "%Y-%m-%d %H:%M:%S")
total = 0
for o in got["outages"]:
    total += (T(o["to"]) - T(o["from"])).total_seconds()
    inside = [l for l in lines if o["from"] < l[:19] < o["to"]]
    if any("alive" in l or "ready" in l for l in inside):
        sys.exit(print(f"PROBLEM: the gateway gave signs of life within the outage from {o['from']}"))
    ends = [l for l in lines if l[:19] == o["to"] and "ready" in l] or o["to"] == "2025-11-05 00:00:00"
    begins = [l for l in lines if l[:19] == o["from"] and ("stopped" in l) == (o["cause"] == "stop")]
    if not ends or not begins:
        sys.exit(print(f"PROBLEM: the outage from {o['from']} does not begin or end with a line that says so"))
    if "2025-11-03 15:00:00" <= o["from"] and o["to"] <= "2025-11-03 16:00:00":
        sys.exit(print("PROBLEM: an outage within the maintenance is listed"))
signs = [l[:19] for l in lines if "alive" in l or "ready" in l] + ["2025-11-05 00:00:00"]
gaps = [a for a, b in zip(signs, signs[1:]) if (T(b) - T(a)).total_seconds() > 600 and not a.startswith("2025-11-03 14:59") and not a.startswith("2025-11-03 15:00")]
if sum(any(a <= o["from"] < b for o in got["outages"]) for a, b in zip(signs, signs[1:]) if a in gaps) != len(gaps):
    sys.exit(print(f"PROBLEM: silent for over ten minutes after {gaps}, and not all of them are outages in the list"))
if got["downtime_s"] != total or got["availability_percent"] != round(100 - total / 1728, 3):
    sys.exit(print("PROBLEM: downtime_s or availability_percent do not fit the outages"))
print("OK")
EOF
