from pathlib import Path

path = Path("rooms.py")
text = path.read_text()
text = text.replace("    bookings.sort()\n", "")
text = text.replace("in bookings:\n", "in sorted(bookings):\n")
text = text.replace("start < merged[-1][1]", "start <= merged[-1][1]")
text = text.replace("merged[-1][1] = end", "merged[-1][1] = max(merged[-1][1], end)")
text = text.replace("        at = end\n", "        at = max(at, end)\n")
path.write_text(text)
