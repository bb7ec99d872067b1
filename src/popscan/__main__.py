"""``python -m popscan``."""

import sys

from popscan.cli import main

sys.exit(main())
