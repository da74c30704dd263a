"""Numba kernels: NumPy arrays in, NumPy arrays out; no Arrow, no I/O, no checks inside."""
