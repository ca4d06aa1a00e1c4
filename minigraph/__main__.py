"""``python -m minigraph``: the console command."""

import sys

from minigraph.cli import main

sys.exit(main())
