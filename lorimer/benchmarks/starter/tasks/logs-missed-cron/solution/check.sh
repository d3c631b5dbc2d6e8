python3 - <<'EOF' 2>/dev/null || echo 'PROBLEM: the output is missing or cannot be read as asked'
import sys
import re
lines = open("missed.txt").read().splitlines()
if lines != sorted(lines) or not lines or not all(re.fullmatch(r"2025-06-\d\d \d\d:\d\d (sync-orders|backup)", l) for l in lines):
    sys.exit(print("PROBLEM: empty, not in order or not in the asked form"))
log = [(l[8:10], int(l[11:13]) * 3600 + int(l[14:16]) * 60 + int(l[17:19]), l) for l in open("cron.log") if "CMD" in l]
for day in range(6, 13):
    for minute in range(0, 1440, 10):
        for job in ("sync-orders", "backup"):
            due = minute == 150 if job == "backup" else 360 <= minute <= 1240 and minute % 20 == 0 and day not in (7, 8, 9)
            ran = any(d == f"{day:02d}" and 0 <= s - minute * 60 <= 120 and "jobs/" + job in l for d, s, l in log)
            line = f"2025-06-{day:02d} {minute // 60:02d}:{minute % 60:02d} {job}"
            if (line in lines) != (due and not ran):
                sys.exit(print(f"PROBLEM: {line} is wrongly " + ("listed" if line in lines else "left out")))
print("OK")
EOF
