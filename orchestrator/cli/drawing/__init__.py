"""Pictures of graphs and runs as text: trees, dot, mermaid, SVG, HTML. Pure: it opens no file, no store, no recipe."""
