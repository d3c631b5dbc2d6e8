"""Room bookings as half-open intervals [start, end) in minutes since midnight."""


def merge(bookings):
    """Return the busy times: the bookings' union as sorted, disjoint [start, end] lists.

    Bookings that touch (one ends when the next starts) are one busy time. Empty bookings (start == end) are ignored;
    a booking that ends before it starts raises ValueError. The input is not changed.
    """
    bookings.sort()
    merged = []
    for start, end in bookings:
        if merged and start < merged[-1][1]:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return merged


def free(bookings, opening, closing):
    """Return the gaps between busy times within opening hours, as [start, end] lists; no empty gaps."""
    gaps = []
    at = opening
    for start, end in merge(bookings):
        if start > at:
            gaps.append([at, start])
        at = end
    if at < closing:
        gaps.append([at, closing])
    return gaps
