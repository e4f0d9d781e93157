"""Topics and their grants, as declared beside the settings."""
