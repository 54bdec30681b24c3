"""`python -m wardian.network.resolver`, and what the engine starts by this file's path.

By its path, because `-m` imports the packages above first: asyncio, msgspec and all of the engine's network, 15 MB that
this process never uses.
"""

import os
import sys


def main() -> int:
    if __package__:
        from .program import main as program
    else:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        program = __import__("resolver.program", fromlist=["main"]).main
    return program()


if __name__ == "__main__":
    sys.exit(main())
