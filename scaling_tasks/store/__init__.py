"""Content-addressed action cache and blobs."""
