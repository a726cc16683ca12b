"""Each makes its part of the host what the plan says."""
