"""How experiments are run: by DVC, many of them without its and the stages' start-up times."""
