from pathlib import Path

Path('rooms.py').write_text('''\
def merge_intervals(intervals):
    """Merge overlapping intervals."""
    if not intervals:
        return []
    intervals = sorted(intervals, key=lambda x: x[0])
    merged = [list(intervals[0])]
    for start, end in intervals[1:]:
        if start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged


def is_free(bookings, start, end):
    """Check whether a room is free."""
    for s, e in merge_intervals(bookings):
        if start < e and end > s:
            return False
    return True
''')
