"""User namespaces of containers, and the ids that this host gives them."""
