"""A container's files for those outside: cp, diff, export, commit; its root, and the files that name it."""
