"""Which build of the extension the tests load: SLBP_EXTENSION, which the Makefile sets."""

import os
from pathlib import Path

from .stack import BUILD

EXTENSION = Path(os.environ.get("SLBP_EXTENSION", BUILD / "debug" / "libslbp.so")).resolve()
