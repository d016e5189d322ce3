"""Weights: their manifest, files of several frameworks, and the way in from model zoos."""
