cat queries.jsonl
