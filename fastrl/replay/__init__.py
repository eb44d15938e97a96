"""The replay ring and what is drawn from it, on the device."""
