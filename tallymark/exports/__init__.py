"""What leaves the house in the forms of others."""
