"""The page on which a person signs in."""
