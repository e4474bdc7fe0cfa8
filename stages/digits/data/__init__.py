"""The data: where the archives come from, what they hold, and the tensors made from them."""
