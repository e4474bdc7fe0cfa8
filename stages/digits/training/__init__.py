"""All that the stage train alone is made of: the loop and what it calls."""
