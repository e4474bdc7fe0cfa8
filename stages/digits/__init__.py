"""What the stages are made of, a room for each subject, and single files that most of them share.

Imports point one way: script -> its subject -> foundation; tests/repository/test_wiring.py holds which room may import
from which. Importing this package makes Python name a missing package in one line, and sets a variable that NumPy reads
when it is loaded. So a script imports nothing but the standard library and the project's own modules.
"""

import os
import sys

from digits.foundation import explain_missing_package

sys.excepthook = explain_missing_package
# For matrices as small as ours, OpenBLAS takes several times as long if its threads share them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
