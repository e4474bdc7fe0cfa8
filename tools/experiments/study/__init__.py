"""Trainings that several processes, on one machine or many, share by a database."""
