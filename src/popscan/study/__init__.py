"""A study on disk: subjects, tables, columns, who left; read by stages and commands."""
