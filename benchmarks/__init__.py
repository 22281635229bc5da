"""What the platform promises about its speed, as commands: `python -m benchmarks.<name>`, from the checkout."""
