"""One thin module for each kernel facility: it names the kernel's calls and numbers, and decides nothing."""
