cat zones.py
