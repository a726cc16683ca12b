"""`wgpy doctor SUBJECT`: checks what another program on this host must be told to work with wgpy."""
