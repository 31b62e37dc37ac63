"""What builds do with stages: the graph of them all, running, foretelling, checking and pruning it."""
