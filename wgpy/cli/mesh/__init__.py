"""`wgpy mesh`: one module per subject, `table` with all subcommands."""
