"""The audit: ledger, topics and store held against each other, and against the records scored again. It only reads."""
