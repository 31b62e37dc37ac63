"""One file per compiler backend behind one contract."""
