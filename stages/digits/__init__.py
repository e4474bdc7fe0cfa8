"""What the stages are made of, a room for each subject, and single files that most of them share.

Imports point one way: script -> its subject -> foundation, which knows nothing about digits. Each room's docstring says
what it is for, and who uses it. tests/repository/test_wiring.py holds which room may import from which.

Importing this package sets the switches of portable arithmetic, which NumPy and PyTorch read when they are loaded. So a
script imports nothing but the standard library and the project's own modules.
"""

from digits.foundation.arithmetic import use_portable_arithmetic

use_portable_arithmetic()
