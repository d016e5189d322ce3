"""Faults to plant in the product, to see whether tests notice: `python -m tests.faults`."""
