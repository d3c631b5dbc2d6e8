import json
import sys
from pathlib import Path

want = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
got = Path("/app/effective.json").read_text(encoding="utf-8")
if got != json.dumps(want, indent=2, sort_keys=True) + "\n":
    sys.exit("effective.json does not hold the right text")
