"""Unique visitors; one event is {"user": ..., "page": ..., "at": seconds, "tags": [...]}."""


def drop_repeats(events, window):
    """Drop every event that repeats one of the same user on the same page which was KEPT at most `window` seconds before.

    Events come in order of `at`. The order stays, the kept events are the same objects.
    """
    kept = []
    for event in events:
        repeat = False
        for other in kept:
            same = other["user"] == event["user"] and other["page"] == event["page"]
            if same and event["at"] - other["at"] <= window:
                repeat = True
        if not repeat:
            kept.append(event)
    return kept


def common_tags(events, top):
    """The `top` most frequent tags, most frequent first; of equally frequent ones that which appeared first."""
    tags = []
    for event in events:
        tags = tags + event["tags"]
    unique = []
    for tag in tags:
        if tag not in unique:
            unique.append(tag)
    unique.sort(key=lambda tag: -tags.count(tag))
    return unique[:top]
