"""Every way to choose buckets: one signature (a `Request` and a number, to a `Choice`) and one registry."""
