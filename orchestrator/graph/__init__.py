"""Recipes and options become a graph of derivations with keys. Pure: reads no file, runs nothing, knows no store."""
