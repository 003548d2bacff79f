"""Accounts, transfers and holds in three books, written through one door: ``ledger.door.write``."""
