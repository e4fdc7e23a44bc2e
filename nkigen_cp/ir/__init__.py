"""Types, the tensor graph, its factored form, and the NKI IR."""
