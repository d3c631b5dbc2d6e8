cat visits.py
