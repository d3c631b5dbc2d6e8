"""An edited harness against a record: where it first asks for something that the record does not hold."""
