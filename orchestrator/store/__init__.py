"""Objects by the hash of their content, and the records that lead to them. Knows no recipe, no option, no container."""
