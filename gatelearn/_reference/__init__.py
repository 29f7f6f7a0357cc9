"""Every core function in plain NumPy, one topic a file: the oracle, and the first thing to read."""
