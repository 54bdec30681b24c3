"""Health checks: the rules, and the probes."""
