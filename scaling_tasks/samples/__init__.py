"""Data sets to statistics: kinds, header readers, geometry, the incremental scan cache."""
