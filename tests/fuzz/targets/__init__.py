"""One module for each way in; each has a `TARGET`."""
