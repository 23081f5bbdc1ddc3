"""`python -m espret VERB ...`, the same as the `espret` command."""

import sys

from espret.bin import main

sys.exit(main())
