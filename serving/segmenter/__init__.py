"""The segmenter: answers photographs with masks and tells the monitor what it saw."""
