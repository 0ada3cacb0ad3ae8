"""The way in: middleware, decorators, and who acts under which authentication."""
