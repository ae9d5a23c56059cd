"""A client of the control socket, for programs: async on trio and asyncio, or blocking."""
