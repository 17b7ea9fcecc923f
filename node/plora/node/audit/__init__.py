"""The hash-chained audit: which states this peer's decisions were in, and whether anybody changed them since."""
