"""Statements against payments and ledger: pure comparison, and the discrepancies that stay open until resolved."""
