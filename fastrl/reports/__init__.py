"""Reports of finished runs: numbers, tables, pictures and films."""
