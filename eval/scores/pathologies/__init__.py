"""Without a true scene: double faces, floaters, views that do not agree."""
