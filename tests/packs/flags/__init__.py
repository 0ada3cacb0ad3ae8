"""An app with a flag of its own, as Waffle's documentation shows it."""
