"""The data: where the archives come from, what they hold, and the tensors made from them.

download alone uses mirrors, http_request and optdigits; preprocess alone uses raw.
"""
