"""Loading and running one artefact: one file per engine, which imports numpy and that engine only."""
