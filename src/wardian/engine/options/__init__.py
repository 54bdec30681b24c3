"""What a container may be asked to be: the table of options, what each may be, and what was asked. Pure."""
