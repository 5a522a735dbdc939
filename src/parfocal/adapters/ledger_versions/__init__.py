"""The ledger's table, version by version. A step that was released is never edited; a change is a new step."""
