"""Training of networks: material, runs, figures. Never needed to run stemd."""
