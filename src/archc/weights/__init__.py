"""Weights: their manifest, files of several frameworks, and the way in from published models.

In go files that others wrote, and no more is believed of them than is checked: they are opened on
trial, and every tensor has to fit by name, shape and type. Out come files that are whole or not
there at all. Names and layouts on the way are the canonical ones.
"""
