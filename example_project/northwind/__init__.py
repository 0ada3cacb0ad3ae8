"""The product: organizations with members, invitations, API keys, projects, a plan and security settings."""
