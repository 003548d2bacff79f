"""Payment providers behind one port. Only ``flow`` may import this room."""
