"""A container's life: create, start, pause, update, its end, its policy's next start, and what a new engine finds."""
