"""python3 -m task"""

import sys

from .cli import main

sys.exit(main())
