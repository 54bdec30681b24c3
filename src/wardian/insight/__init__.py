"""What was done and why: reads what the others recorded. Makes and changes nothing."""
