"""Volumes as the API's calls want them, and as containers use them; mounts of images."""
