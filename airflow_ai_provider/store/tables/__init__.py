"""The store's tables by topic; ``store.schema`` gives them all."""
