"""Which statements exist: rounds of push-pull reconciliation between neighbours, pure."""
