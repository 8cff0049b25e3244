"""The program: JACK client, engine and worker threads, configuration, commands."""
