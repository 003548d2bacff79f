"""``python -m paywarden.app`` is the ``paywarden`` command; ``up`` starts its children so."""

from paywarden.app import main

main()
