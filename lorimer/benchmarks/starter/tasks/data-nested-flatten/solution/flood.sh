cat catalogue.json
