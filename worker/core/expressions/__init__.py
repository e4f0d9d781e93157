"""The rulebook's expressions: grammar, operators, compiler."""
