"""Whose certificates count on the way to an address."""

import ssl


def trusted_for(url: str) -> ssl.SSLContext | bool:
    """What ``verify`` of an HTTP client shall be: nobody's for plain HTTP, which shows none; else the client's default.

    To load the certificates of the world takes 20 ms, much of what a short command takes. Only for a client that
    uses no proxy of the environment: that one may have a certificate to show.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.lower().startswith("http://") else True
