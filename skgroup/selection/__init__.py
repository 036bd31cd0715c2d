"""What groups gain, and the choice of groups from it."""
