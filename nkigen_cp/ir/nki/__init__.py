"""The NKI IR: kernels, the instruction table, the cost function and the verifier."""
