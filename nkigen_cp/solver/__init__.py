"""Instance, model, search, plan, and the independent check."""
