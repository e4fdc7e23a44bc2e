"""The report's pictures: from its values to boxes, lines and texts with a place."""
