"""Files On-Demand for Linux, with OpenHarmony's cloudSync API behind it."""

__version__ = "0.1.0"
