"""Actions: work named by everything its result depends on, looked up, done, stored and placed in one way."""
