"""Words without I/O: money, ids, clock, errors, states, canonical JSON, safe text. Imports nothing of Paywarden."""
