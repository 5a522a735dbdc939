"""What a cluster, and the local Prometheus, are told."""
