"""The scan and everything around it; a plan hands its algorithms over."""
