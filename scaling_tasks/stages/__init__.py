"""The stages of a target: one file each with its action and its work, and what several of them take from it."""
