"""The factored program: dims split into factors, views composed away."""
