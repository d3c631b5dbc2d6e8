import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
got = [json.loads(line) for line in Path("/app/timeline.jsonl").read_text(encoding="utf-8").splitlines()]
if got != want:
    sys.exit("the timeline is not right")
