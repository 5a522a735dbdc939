"""What is kept of earlier instruments, and how it is mixed with what is new."""
