import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
got = json.loads(Path("/app/outages.json").read_text(encoding="utf-8"))
if got != want:
    sys.exit("outages.json does not hold the right answer")
