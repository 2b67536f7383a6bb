"""Small data that the domain looks things up in; README.md says where it comes from."""
