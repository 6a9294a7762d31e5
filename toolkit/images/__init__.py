"""The auditor as a container image: built, tested, carried in one file, pushed.

`layout` says what is in it and runs in the Dockerfile's stage as well as here; everything else speaks to an
engine.
"""
