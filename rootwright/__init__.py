"""Rootwright builds container base images the way a configuration tool converges hosts."""

__version__ = "0.1.0"
