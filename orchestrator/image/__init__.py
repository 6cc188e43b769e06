"""Images from stored trees: one component, one layer. Knows the store and the sandbox; never imports `build`."""
