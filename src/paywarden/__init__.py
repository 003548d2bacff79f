"""Paywarden: the pay desk that AI agents must go through."""
