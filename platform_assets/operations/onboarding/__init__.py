"""How a source comes to the platform: its folder from a template or a sample, its gold model, its editor schema."""
