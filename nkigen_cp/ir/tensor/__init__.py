"""The tensor graph: its op table, interpreter and verifier."""
