wc zones.py; head -8 zones.py; sed -n '/^BASE/,$p' zones.py
