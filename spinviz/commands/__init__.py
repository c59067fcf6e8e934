"""What the ``spinviz`` command does: one file for each family of commands."""
