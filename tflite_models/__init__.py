"""The networks: reading checkpoints, writing graphs, keeping and running them."""
