cat pkgorder.py
