"""Whether a challenger may answer, who said so, and what is kept of it. Knows no platform and no network."""
