"""A trial that is answered from the record of another one until its harness asks for something that the record does not hold."""
