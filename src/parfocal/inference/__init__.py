"""From a photograph to masks: a sealed bundle, the runtime that executes its networks, and the cascade around them."""
