cat settings.py settings.md example.settings
