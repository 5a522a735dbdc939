"""Pretrain a network on a dataset."""
