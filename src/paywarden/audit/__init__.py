"""What happened: append-only events, read only below every running transaction."""
