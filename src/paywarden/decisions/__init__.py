"""Judgement: a snapshot in, a typed advice out, checked in code and stored whole. Nothing here can reach the money."""
