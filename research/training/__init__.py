"""Networks of stemd's own: material, training, figures. Never needed to run the program."""
