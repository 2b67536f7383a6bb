"""Wide rows: versioned cells in rows ordered by key, over SQLite or Bigtable."""
