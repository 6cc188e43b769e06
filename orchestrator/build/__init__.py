"""From a graph to outputs: what is missing (plan), in which order and how many at once (realise), how one is made."""
