"""The steps: one `run()` each, folder in, folder out. They see the world through the protocols in core alone."""
