"""Being here puts this folder on the path, so that tests of several folders share the `*_kit.py` modules beside it."""
