"""The worker door: does what is due until it is told to stop."""
