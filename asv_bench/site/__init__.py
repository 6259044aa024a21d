"""Pages of the stored results."""
