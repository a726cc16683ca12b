"""`wgpy mesh`: one module per subject, `commands` with all subcommands."""
