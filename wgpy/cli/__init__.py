"""The `wgpy` command: one module per group of subcommands, `main` with all of them."""
