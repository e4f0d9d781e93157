"""Settings: a TOML file, environment variables over it, and the page that documents them."""
