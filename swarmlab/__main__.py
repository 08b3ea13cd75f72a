"""`python -m swarmlab`, the same as the command `swarmlab`."""

import sys

from swarmlab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
