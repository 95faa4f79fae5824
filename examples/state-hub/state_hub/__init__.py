"""Keeps the state of things under a key, with its history."""
