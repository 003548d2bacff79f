"""How fast the desk is, as ratios to PostgreSQL's own benchmark on the same server (``make bench``)."""
