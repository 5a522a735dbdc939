"""From files to frames: decode, validate, split by patient, crop, equalise, copy, store."""
