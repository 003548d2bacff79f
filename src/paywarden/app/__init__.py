"""The composition root: only here may everything be imported, and inside functions, so that ``--help`` is fast."""


def main() -> None:
    """The ``paywarden`` command."""
    from paywarden.app.commands import build

    build()()
