"""The payment world in a box: a provider in its own process, with its own durable book, webhooks, faults and clock.

It speaks what the generic ``rest`` provider speaks and imports nothing of Paywarden but ``kit``, so that its book can
be the oracle of every test that kills, cuts or repeats something.
"""
