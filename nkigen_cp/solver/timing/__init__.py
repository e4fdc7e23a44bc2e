"""The time of a plan: rows that the model and plain arithmetic share."""
