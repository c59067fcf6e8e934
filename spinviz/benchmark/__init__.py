"""``spinviz bench``: every way to get a force, measured side by side."""
