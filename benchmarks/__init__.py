"""What the design promises about speed, memory and accuracy, measured: `python -m benchmarks [names]`."""
