"""Evals: how good retrieval and advice are, measured on real support messages. Nothing here moves money."""
