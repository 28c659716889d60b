"""The template library `multistore`, which may import devices and http/."""
