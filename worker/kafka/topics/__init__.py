"""What is declared beside the settings: topics and who may use them."""
