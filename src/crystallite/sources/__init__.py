"""Where crystals come from: one file a source."""
