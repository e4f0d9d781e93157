"""The stations of the loop: what each does with the records that pass through it."""
