"""Names of a mesh: questions of the DNS and their answers, sans-IO."""
