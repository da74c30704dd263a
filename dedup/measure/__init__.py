"""Measures: text to numbers and labels, one module a published rule set. Only drop.py decides."""
