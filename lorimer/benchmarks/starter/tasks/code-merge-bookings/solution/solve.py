from pathlib import Path

path = Path("rooms.py")
text = path.read_text()
for old, new in [
    ("    bookings.sort()\n", ""),
    ("in bookings:\n", "in sorted(bookings):\n"),
    (
        "        if merged and start < merged[-1][1]:\n            merged[-1][1] = end\n",
        "        if end < start:\n"
        "            raise ValueError(f\"booking ends before it starts: {start}-{end}\")\n"
        "        if start == end:\n"
        "            continue\n"
        "        if merged and start <= merged[-1][1]:\n"
        "            merged[-1][1] = max(merged[-1][1], end)\n",
    ),
    (
        "        if start > at:\n            gaps.append([at, start])\n        at = end\n",
        "        if min(start, closing) > at:\n"
        "            gaps.append([at, min(start, closing)])\n"
        "        at = max(at, end)\n",
    ),
]:
    assert old in text, old
    text = text.replace(old, new)
path.write_text(text)
