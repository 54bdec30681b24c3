"""OCI spec → plan → launcher: what a container is (`plan`), who carries it out (`launch`), and the runc-like command."""
