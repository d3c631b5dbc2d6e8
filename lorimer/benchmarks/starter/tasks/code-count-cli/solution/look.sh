cat count.py usage.md; cat -A notes.txt
