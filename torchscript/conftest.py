"""Puts this folder on the path of its tests, as it is when a script here runs."""
