"""Template tags for pages that show recorded text: ``{% load auditkit_visible %}``. Here because Django looks here."""
