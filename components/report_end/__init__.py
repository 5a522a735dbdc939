"""Write into the ledger how a run ended."""
