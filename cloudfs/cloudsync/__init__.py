"""The reference's classes, over the engine below."""
