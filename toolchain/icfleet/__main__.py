"""``python -m icfleet`` is the ``icfleet`` command."""

import sys

from icfleet.cli import main

sys.exit(main())
