"""What runs as a service: the segmenter and the monitor."""
