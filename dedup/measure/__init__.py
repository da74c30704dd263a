"""Measures: text to numbers and labels, one module a published rule set. Nothing here decides; drop.py does."""
