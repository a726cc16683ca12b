"""What a change costs a mesh, by the number of its nodes."""
