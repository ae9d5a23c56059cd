"""One run over a scope: observe, plan, apply."""
