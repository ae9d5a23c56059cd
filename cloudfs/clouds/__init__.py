"""Clouds: what they can do (`base`), and one module for each kind."""
