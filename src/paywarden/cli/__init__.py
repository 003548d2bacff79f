"""The command line: a door for people. Speaks HTTP through the client; what needs the whole program is in ``app``."""
