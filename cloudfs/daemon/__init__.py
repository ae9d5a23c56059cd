"""The daemon: builds every part once, runs them in order, and ends them in the reverse one.

Its whole is `serving.serve`; nothing is imported here, as parts of it are of use without the kernel's side.
"""
