"""What the stages are made of, in rooms by subject.

Imports point one way: script -> its subject -> foundation, which knows nothing about digits. In full: a room imports
only from itself and from those before it in the order foundation, pictures, data, models, evaluation, figures,
training, and nothing imports a stage script. Imports name modules, never packages, so that a stage depends on no more
files than it uses. Each room's docstring says what it is for. tests/repository/test_wiring.py holds these rules.
"""
