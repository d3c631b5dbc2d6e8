import gzip
import json
from pathlib import Path

folder = Path("log")
text = gzip.decompress((folder / "server.log.2.gz").read_bytes()).decode()
text += (folder / "server.log.1").read_text() + (folder / "server.log").read_text()
running, lost = {}, []
for line in text.splitlines():
    day, time, subject, event, *rest = line.split()
    if subject == "server" and "started" in line:
        lost += [{**request, "end": "restart"} for request in running.values()]
        running = {}
    elif event == "begin":
        running[subject] = {"request": subject, "started": f"{day} {time}", "path": rest[1]}
    elif event in ("end", "aborted"):
        running.pop(subject, None)
lost += [{**request, "end": "open"} for request in running.values()]
lost.sort(key=lambda request: (request["started"], request["request"]))
Path("unfinished.json").write_text(json.dumps(lost, indent=1))
