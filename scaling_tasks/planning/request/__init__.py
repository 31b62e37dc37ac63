"""What is asked for: options, the sizes that buckets may have, and the request that every strategy takes."""
