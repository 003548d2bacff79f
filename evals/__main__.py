"""``python -m evals``."""

import os
import sys

# Beside other work, the threads of the matrix library wait for one another and take three times the processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from evals.run import main

sys.exit(main())
