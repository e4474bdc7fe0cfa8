"""From raw files to data sets: data/raw, folders of pictures, splits, and shapes that are not digits."""
