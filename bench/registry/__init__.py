"""`make bench-registry`: the registry beside Feast's, in one run."""
