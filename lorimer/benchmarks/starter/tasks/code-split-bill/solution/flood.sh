cat *.py
