"""YAML to frozen, fully validated specs."""
