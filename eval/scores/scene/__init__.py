"""Against the true scene, where it is known: its surface, its points, its texture."""
