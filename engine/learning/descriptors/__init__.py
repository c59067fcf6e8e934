"""Descriptors: numbers of a site's neighbourhood that the symmetries leave alone."""
