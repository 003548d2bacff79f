"""The database floor: the embedded server, connections, transactions, named statements and migrations."""
