"""When an alarm becomes a retrain. Pure: what is so goes in, what to do comes out."""
