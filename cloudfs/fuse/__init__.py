"""The kernel's side: thin handlers, open files, extended attributes."""
