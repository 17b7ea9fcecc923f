"""Carries out with asyncio what the core asks for."""
