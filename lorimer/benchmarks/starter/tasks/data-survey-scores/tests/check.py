import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
got = json.loads(Path("/app/scores.json").read_text(encoding="utf-8"))
if {d: sorted(s) for d, s in got.items()} != {d: sorted(s) for d, s in want.items()}:
    sys.exit("departments or scales differ")
for department, scales in want.items():
    for scale, right in scales.items():
        mine = got[department][scale]
        if mine["n"] != right["n"] or abs(mine["mean"] - right["mean"]) > 0.00051 or round(mine["mean"], 3) != mine["mean"]:
            sys.exit(f"wrong score for {department}, {scale}")
