"""Tenants, principals (agents, people, services) with roles, their API keys, and customers."""
