"""Datasets on the host: reading, checking, describing and writing them."""
