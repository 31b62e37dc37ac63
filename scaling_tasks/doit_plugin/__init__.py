"""Tasks, loader, reporter and commands for doit."""
