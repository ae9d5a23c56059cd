"""File content on the local disk: which bytes are held, where, and what may go."""
