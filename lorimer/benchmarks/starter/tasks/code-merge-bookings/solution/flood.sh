cat rooms.py reports.md
