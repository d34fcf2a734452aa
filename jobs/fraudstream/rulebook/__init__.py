"""The rule language: expressions over windows of a user's earlier transactions, and their evaluation."""
