"""Every way to choose buckets: one signature (a `PlanRequest` and a number, to a `Choice`) and one registry."""
