from pathlib import Path

path = Path('visits.py')
text = path.read_text()
for old, new in [
    (
        '    kept = []\n    for event in events:\n        repeat = False\n        for other in kept:\n            same = other["user"] == event["user"] and other["page"] == event["page"]\n            if same and event["at"] - other["at"] <= window:\n                repeat = True\n        if not repeat:\n            kept.append(event)\n',
        '    kept, last = [], {}\n    for event in events:\n        key = (event["user"], event["page"])\n        if key not in last or event["at"] - last[key] > window:\n            kept.append(event)\n        last[key] = event["at"]\n',
    ),
    (
        '    tags = []\n    for event in events:\n        tags = tags + event["tags"]\n    unique = []\n    for tag in tags:\n        if tag not in unique:\n            unique.append(tag)\n    unique.sort(key=lambda tag: -tags.count(tag))\n    return unique[:top]\n',
        '    count = {}\n    for event in events:\n        for tag in event["tags"]:\n            count[tag] = count.get(tag, 0) + 1\n    return sorted(count, key=lambda tag: -count[tag])[:top]\n',
    ),
]:
    text = text.replace(old, new)
path.write_text(text)
