"""What customers may use: the credit they were given."""
