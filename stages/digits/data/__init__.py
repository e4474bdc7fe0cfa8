"""The data set: where the archives come from, what they hold, and the tensors made of them."""
