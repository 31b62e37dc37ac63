"""Work at the workers of a Dask scheduler: nothing travels but files by their digest and plain values."""
