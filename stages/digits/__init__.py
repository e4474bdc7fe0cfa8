"""What the stages are made of, a package for each subject.

Imports point one way: script -> its subject -> foundation, which knows nothing about digits. In full: a package
imports only from itself and from those before it in the order foundation, pictures, data, models, evaluation, figures,
training, and nothing imports a stage script. Imports name modules, never packages, so that a stage depends on no more
files than it uses. Each package's docstring says what it is for. tests/repository/test_wiring.py holds these rules.
"""
