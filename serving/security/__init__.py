"""Who may do what at the two services: tokens with roles, sessions of the pages, signed webhooks, the audit log."""
