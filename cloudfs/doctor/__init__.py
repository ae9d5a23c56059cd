"""What keeps a mount from working, looked at one thing after the other. Nothing is changed by it.

One module for each thing that is asked: the machine, the configuration, the places on disk, the server.
"""

from cloudfs.doctor.examination import examine
from cloudfs.doctor.finding import Finding

__all__ = ["Finding", "examine"]
