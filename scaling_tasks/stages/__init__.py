"""The stages of a target: one file each with its action and its work, and the graph of them all."""
