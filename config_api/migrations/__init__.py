"""Migrations of the database; ``config_api.database`` runs those that are missing at start-up."""
