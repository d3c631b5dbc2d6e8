cat cache.py shop.py
