from pathlib import Path

Path('visits.py').write_text('''\
from collections import Counter


def drop_repeats(events):
    seen, kept = set(), []
    for event in events:
        key = (event["user"], event["page"])
        if key not in seen:
            seen.add(key)
            kept.append(event)
    return kept


def common_tags(events, n=10):
    counts = Counter(tag for event in events for tag in event["tags"])
    return counts.most_common(n)
''')
