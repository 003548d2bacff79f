"""The quick-start routes: short shapes on the same flow as ``/v1``."""
