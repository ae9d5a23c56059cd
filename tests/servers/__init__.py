"""Real WebDAV servers, a proxy that fails on demand, and a cloud in memory: what the tests stand on."""
