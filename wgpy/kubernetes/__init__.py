"""What Kubernetes says of its nodes and services, as far as a mesh needs it; sans-IO."""
