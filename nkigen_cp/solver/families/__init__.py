"""One module per constraint family of the model."""
