"""From a photograph to masks, with the networks as they are exported and served."""
