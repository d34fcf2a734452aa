"""Rules over history: what they would have alerted on, and how good that is by the labels."""
