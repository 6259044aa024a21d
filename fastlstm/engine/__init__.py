"""Private: from the classes to the kernels."""
