"""From columns of transactions to a model's vector."""
