"""One module per sub-command of `mlss`."""
