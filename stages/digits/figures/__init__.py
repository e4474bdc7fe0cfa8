"""The figures in plots/.

preprocess alone uses data; evaluate alone uses results.
"""
