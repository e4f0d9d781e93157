"""Archives of topics in files: JSON lines or Avro container files, perhaps compressed."""
