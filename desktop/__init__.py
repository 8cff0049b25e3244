"""What a desktop shows of stemd: its entry in menus, and its icon."""
