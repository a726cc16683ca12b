"""Whole meshes behind NATs: what they need, what is read of them, and wgpy's peers among them."""
