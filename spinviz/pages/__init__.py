"""The pages beside the live one: front door, lessons, gallery, electrons, comparison."""
