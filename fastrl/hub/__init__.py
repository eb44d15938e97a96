"""Agents and datasets on the Hugging Face Hub: what is stored there, and the way there and back."""
