cat count.py usage.md notes.txt
